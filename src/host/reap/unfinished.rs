//! Jobs whose `prepare` or `cleanup` was killed in the middle, as the notes in `run_dir` tell: their objects go
//! though their runner lives. It removes no object itself.

use std::collections::BTreeSet;
use std::path::Path;

use crate::engine::EngineError;
use crate::plan::sweep::{Doomed, Kind};
use crate::stage::creating::{self, Unanswered};
use crate::stage::removal_lock::{self, CutShort};

/// All that nobody is at. As long as this is held nobody else takes it up, and no next try of such a job begins.
pub(super) struct Unfinished {
    cut_short: Vec<CutShort>,
    unanswered: Vec<Unanswered>,
}

impl Unfinished {
    /// Looks at the notes.
    pub(super) fn look(run_dir: &Path) -> Self {
        let (cut_short, unanswered) = (removal_lock::cut_short(run_dir), creating::all(run_dir));
        Self { cut_short, unanswered }
    }

    /// The keys of the jobs.
    pub(super) fn jobs(&self) -> BTreeSet<String> {
        let cut_short = self.cut_short.iter().map(|one| &one.job);
        let waiting = self.unanswered.iter().filter(|one| !one.names.is_empty());
        cut_short.chain(waiting.map(|one| &one.job)).cloned().collect()
    }

    /// Cleanups of which nothing is left.
    pub(super) fn done<'a>(
        &'a self,
        doomed: &'a [Doomed],
        left: &'a [EngineError],
    ) -> impl Iterator<Item = &'a CutShort> {
        let is_left = |job: &CutShort| {
            let mut its = doomed.iter().filter(|one| one.job.as_ref() == Some(&job.job));
            its.any(|one| left.iter().any(|error| error.object == one.name))
        };
        self.cut_short.iter().filter(move |one| !is_left(one))
    }

    /// Forgets the containers that came and went, and those that will be told by their labels should they come:
    /// their owner is gone, or their deadline over, as `orphaned` says.
    pub(super) fn forget_answered(
        &self,
        doomed: &[Doomed],
        left: &[EngineError],
        orphaned: impl Fn(&Unanswered) -> bool,
    ) {
        let came = |name: &String| {
            let mut containers = doomed.iter().filter(|one| one.kind == Kind::Container);
            containers.any(|one| one.name == *name) && left.iter().all(|one| one.object != *name)
        };
        for one in &self.unanswered {
            if one.names.iter().all(came) || orphaned(one) {
                // One that stays is looked at again by the next reap.
                drop(one.forget());
            }
        }
    }
}
