//! The environment of a service: what it gets of the job's variables, and its own. Values of Vault are never
//! among them.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::job::{JobContext, JobVariable};
use crate::secrets::Secret;

/// A service's environment. The job may put a masked variable into it by name, so no value is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceEnv(BTreeMap<String, Secret>);

impl ServiceEnv {
    /// As with GitLab's executor: the job's variables that are public or the runner's own, then the
    /// service's, expanded with all that the job sees. Vault's values are not among them: a service's
    /// environment is there to be read by who may inspect containers.
    pub(super) fn of(context: &JobContext, own: &[JobVariable]) -> Self {
        let mut env = Self::default();
        for (name, value) in &context.variables {
            if let Some(value) = inherited(context, name, value) {
                env.set(name, value);
            }
        }
        for variable in own {
            let raw = || variable.value.clone();
            let expanded = || {
                context.expand_with(&variable.value, |name| {
                    // One that names itself means the job's: `PASSWORD: $PASSWORD`.
                    let siblings = own.iter().filter(|one| one.key != variable.key);
                    let sibling = siblings.rev().find(|one| one.key == name)?;
                    let text = || sibling.value.clone();
                    Some(if sibling.raw { text() } else { context.expand(&sibling.value) })
                })
            };
            env.set(&variable.key, if variable.raw { raw() } else { expanded() });
        }
        env
    }

    /// The lines that the engine is told.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let text = |value: &Secret| String::from_utf8_lossy(value.expose()).into_owned();
        self.0.iter().map(move |(name, value)| format!("{name}={}", text(value)))
    }

    fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), Secret::new(value));
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| String::from_utf8_lossy(value.expose()).into_owned())
    }
}

impl Serialize for ServiceEnv {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.keys())
    }
}

/// The value that services get of a job's variable.
fn inherited(context: &JobContext, name: &str, value: &str) -> Option<String> {
    let job = &context.response;
    match job.variables.iter().rev().find(|one| one.key == name) {
        Some(known) if known.file => known.public.then(|| context.expand(&format!("${name}"))),
        Some(known) => (known.public && !known.masked).then(|| value.to_owned()),
        // The runner's own. It lists services with their variables, and resolved `secrets:` too.
        None if name == "CI_JOB_SERVICES" || job.secrets.contains_key(name) => None,
        None => Some(value.to_owned()),
    }
}
