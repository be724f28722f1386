//! Does what a reap found to be done, as far as it can be, and says what cannot.

use super::super::ledger::{Event, Ledger, LedgerError};
use super::super::{owner, prune, shared_file};
use super::unfinished::Unfinished;
use super::{Found, Reap, Report, directories, orphaned};
use crate::engine::{Engine, EngineError, Fault};
use crate::plan::sweep::Doomed;
use crate::secrets::vault::torn_below;
use crate::settings::Settings;
use crate::stage::creating::Unanswered;
use crate::stage::{leases, removal};

impl<E: Engine> Reap<'_, E> {
    /// Does it all and answers sentences about what could not be done.
    pub(super) async fn act(&self, found: Found) -> Vec<String> {
        let Found { report, tokens, directories, outdated, unfinished } = found;
        let left = self.remove(&report.remove, &unfinished).await;
        let mut failed: Vec<String> = left.iter().map(ToString::to_string).collect();
        // Whoever does not answer is not asked for the rest.
        if let Ok(engine) = self.engine
            && report.unknown.is_empty()
            && !removal::hangs(engine, &left).await
        {
            let now = (self.world.clock)();
            failed.extend(prune::finish_interrupted(engine, self.settings, now).await);
        }
        for one in directories {
            let path = one.path.display();
            let removed = one.remove().map_err(|error| format!("failed to remove {path}: {error}"));
            failed.extend(removed.err());
        }
        let unended = leases::end(self.settings, self.world, tokens).await;
        if unended.is_empty() && report.unknown.is_empty() {
            failed.extend(self.finish(&unfinished, &report.remove, &left));
        }
        unfinished.forget_answered(&report.remove, &left, |one| self.is_orphaned(one));
        failed.extend(unended);
        self.forget_unfinished();
        failed.extend(self.record(&report, &failed));
        // A note that stays is looked at again by the next one.
        for one in outdated {
            drop(one.forget());
        }
        failed
    }

    /// Removes objects; looks once more where one is used by what was not there before: the daemon finishes a
    /// request whose sender was killed.
    async fn remove(&self, doomed: &[Doomed], unfinished: &Unfinished) -> Vec<EngineError> {
        let Ok(engine) = self.engine else { return Vec::new() };
        let left = removal::sweep_up(engine, doomed).await;
        if !left.iter().any(|error| error.fault == Fault::Conflict) {
            return left;
        }
        match self.plan(&unfinished.jobs(), owner::now(self.world)).await {
            Ok((doomed, _)) => removal::sweep_up(engine, &doomed).await,
            Err(_) => left,
        }
    }

    /// Files that somebody was killed at before they were what they were to be.
    fn forget_unfinished(&self) {
        let Settings { run_dir, state_dir, .. } = self.settings;
        for directory in [run_dir, state_dir, &state_dir.join(directories::NOTES)] {
            shared_file::forget_unfinished(directory);
        }
        for file in torn_below(run_dir, owner::lives) {
            // The next one tries again.
            drop(std::fs::remove_file(file));
        }
    }

    /// Says of each cleanup that was cut short that it is done, where it is.
    fn finish(
        &self,
        unfinished: &Unfinished,
        doomed: &[Doomed],
        left: &[EngineError],
    ) -> Vec<String> {
        let mut failed = Vec::new();
        for one in unfinished.done(doomed, left) {
            // Said of each, should it be told at all: by the one below that says what all of it was.
            drop(self.append(&Event::Removed { job: &one.job, left: &[] }));
            failed.extend(one.finish().err().map(|error| error.to_string()));
        }
        failed
    }

    /// Whether what comes late is nobody's by its labels alone.
    fn is_orphaned(&self, one: &Unanswered) -> bool {
        let now = owner::now(self.world);
        one.holder.as_ref().is_none_or(|holder| orphaned(holder, now).is_some())
    }

    /// What was done is history, not state: what is gone is gone whether it is written down or not.
    fn record(&self, report: &Report, failed: &[String]) -> Option<String> {
        let objects = report.remove.iter().map(|one| one.name.clone());
        let directories = report.directories.iter().map(|one| one.path.clone());
        let objects: Vec<String> = objects.chain(directories).collect();
        if objects.is_empty() && failed.is_empty() {
            return None;
        }
        self.append(&Event::Reaped { objects: &objects, left: failed }).err().map(|e| e.to_string())
    }

    fn append(&self, event: &Event<'_>) -> Result<(), LedgerError> {
        Ledger::at(&self.settings.state_dir).append(event, (self.world.clock)())
    }
}
