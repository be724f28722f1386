//! What was asked of the stand-in, and what shall go wrong when it is asked.

use std::collections::BTreeMap;

use longshore::engine::Fault;

/// The methods of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Ping,
    Containers,
    Image,
    Pull,
    MayPull,
    Images,
    RemoveImage,
    Create,
    Start,
    Attach,
    Inspect,
    Exec,
    Logs,
    RemoveContainer,
    Networks,
    CreateNetwork,
    RemoveNetwork,
    Gateway,
    Volumes,
    RemoveVolume,
    Upload,
    DataRoot,
    DiskUsage,
    PruneBuildCache,
}

impl Verb {
    /// All of them, for tests that let each fail once.
    pub(crate) const ALL: [Self; 24] = [
        Self::Ping,
        Self::Containers,
        Self::Image,
        Self::Pull,
        Self::MayPull,
        Self::Images,
        Self::RemoveImage,
        Self::Create,
        Self::Start,
        Self::Attach,
        Self::Inspect,
        Self::Exec,
        Self::Logs,
        Self::RemoveContainer,
        Self::Networks,
        Self::CreateNetwork,
        Self::RemoveNetwork,
        Self::Gateway,
        Self::Volumes,
        Self::RemoveVolume,
        Self::Upload,
        Self::DataRoot,
        Self::DiskUsage,
        Self::PruneBuildCache,
    ];
}

/// One call as it came: the method, and the name, reference or label it was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) object: String,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing happens but the error.
    Fail(Fault),
    /// It is done, and yet the caller hears of an error: the answer got lost.
    FailAfter(Fault),
    /// No answer ever; the caller must have a deadline or be cancelled.
    Hang,
}

/// What shall go wrong when, and what was called.
#[derive(Default)]
pub(crate) struct Script {
    calls: Vec<Call>,
    troubles: BTreeMap<(Verb, usize), Trouble>,
}

impl Script {
    pub(crate) fn order(&mut self, verb: Verb, nth: usize, trouble: Trouble) {
        assert!(nth > 0, "calls are counted from 1");
        let before = self.troubles.insert((verb, nth), trouble);
        assert_eq!(before, None, "{verb:?} number {nth} was given a trouble already");
    }

    /// Notes a call, and says what shall go wrong with it.
    pub(crate) fn note(&mut self, verb: Verb, object: &str) -> Option<Trouble> {
        self.calls.push(Call { verb, object: object.to_owned() });
        let nth = self.calls.iter().filter(|call| call.verb == verb).count();
        self.troubles.remove(&(verb, nth))
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.clone()
    }

    /// Troubles that no call has met: a test whose fault never struck has tested nothing.
    pub(crate) fn unmet(&self) -> Vec<(Verb, usize)> {
        self.troubles.keys().copied().collect()
    }
}
