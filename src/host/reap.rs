//! `longshore reap`: removes what jobs left behind whose runner is gone, finishes cleanups that were cut
//! short, and ends such jobs' access to Vault. Observe, plan, act.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::ReapArgs;
use crate::engine::{Engine, EngineError, Fault};
use crate::outcome::Outcome;
use crate::plan::owner::{Moment, Owner};
use crate::plan::sweep::{self, CUT_SHORT, Doomed};
use crate::secrets::vault::{Holder, Kept, torn_below};
use crate::settings::Settings;
use crate::stage::creating::Unanswered;
use crate::stage::error::CallError;
use crate::stage::{agent_volume, leases, removal, vault};
use crate::world::{Stdio, World};

use super::ledger::{Event, Ledger, LedgerError};
use super::{owner, prune, shared_file};

pub mod directories;
pub mod observe;
mod report;
pub mod turn;
mod unfinished;

use directories::Noted;
use report::{Directory, Report, Token};
use unfinished::Unfinished;

/// What a reap works with.
pub struct Reap<'a, E> {
    /// The engine, or why there is none: what needs no engine is done all the same.
    pub engine: Result<&'a E, &'a EngineError>,
    /// What the operator allows.
    pub settings: &'a Settings,
    /// The surroundings.
    pub world: &'a World,
}

/// The command: plans, tells, removes unless only the plan is wanted.
///
/// # Errors
/// When the engine does not answer, or something cannot be removed.
pub async fn command<E: Engine>(
    reap: Reap<'_, E>,
    args: &ReapArgs,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let (run_dir, now) = (&reap.settings.run_dir, (reap.world.clock)());
    // Two at once would do no harm, so a lock that cannot be had is told, and no reason to leave all.
    let turn = if args.plan { Ok(None) } else { turn::take(run_dir, now) };
    if !args.plan && matches!(turn, Ok(None)) {
        return another(args, &mut stdio);
    }
    let found = reap.find().await;
    found.report.write(args, &mut stdio.stdout).map_err(CallError::system)?;
    let mut failed = found.report.unknown.clone();
    if !args.plan {
        failed.extend(reap.act(found).await);
    }
    failed.extend(turn.err().map(|error| {
        format!("failed to lock {}: {error}; check the setting run_dir", run_dir.display())
    }));
    if failed.is_empty() {
        return Ok(Outcome::Success);
    }
    Err(CallError::system(failed.join("\n")))
}

fn another(args: &ReapArgs, stdio: &mut Stdio) -> Result<Outcome, CallError> {
    let text = if args.json {
        "{\"busy\":true}"
    } else {
        "another reap is at work on this host; it does what this one would"
    };
    std::io::Write::write_all(&mut stdio.stdout, format!("{text}\n").as_bytes())
        .map_err(CallError::system)?;
    Ok(Outcome::Success)
}

/// What is to be done, and what doing it takes.
struct Found {
    report: Report,
    tokens: Vec<(PathBuf, Kept)>,
    directories: Vec<Noted>,
    /// Notes of directories that are gone.
    outdated: Vec<Noted>,
    unfinished: Unfinished,
}

impl<E: Engine> Reap<'_, E> {
    /// What of the engine's dead jobs left behind, for people and metrics; nothing is removed.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn leftovers(&self) -> Result<Vec<Doomed>, CallError> {
        let unfinished = Unfinished::look(&self.settings.run_dir);
        let (doomed, _others) = self.plan(&unfinished.jobs(), owner::now(self.world)).await?;
        // An idle slot waits for the next job, and is nobody's.
        Ok(doomed.into_iter().filter(|one| one.job.is_some()).collect())
    }

    async fn find(&self) -> Found {
        let now = owner::now(self.world);
        let unfinished = Unfinished::look(&self.settings.run_dir);
        let jobs = unfinished.jobs();
        let mut report = Report { unfinished: jobs.iter().cloned().collect(), ..Report::default() };
        match self.plan(&jobs, now).await {
            Ok((doomed, others)) => (report.remove, report.others) = (doomed, others),
            Err(error) => report.unknown.push(error.to_string()),
        }
        let mut tokens = Vec::new();
        for (path, kept) in vault::kept(self.settings) {
            let cut = jobs.contains(&kept.holder.job).then_some(CUT_SHORT);
            if let Some(reason) = cut.or_else(|| orphaned(&kept.holder, now)) {
                report.revoke.push(Token::of(&kept.holder, &kept.accessor, reason));
                tokens.push((path, kept));
            }
        }
        let (there, mut outdated) =
            directories::all(self.settings).into_iter().partition::<Vec<_>, _>(Noted::is_there);
        outdated.retain(|one| !one.is_hidden());
        let mut directories = Vec::new();
        for one in there {
            let Some(reason) = orphaned(&one.holder, now) else { continue };
            let (job, path) = (one.holder.job.clone(), one.path.display().to_string());
            report.directories.push(Directory { job, path, reason });
            directories.push(one);
        }
        Found { report, tokens, directories, outdated, unfinished }
    }

    async fn plan(
        &self,
        cut_short: &BTreeSet<String>,
        now: Moment,
    ) -> Result<(Vec<Doomed>, Vec<String>), CallError> {
        let engine = self.engine.map_err(CallError::system)?;
        let objects = observe::all(engine).await?;
        let agent = agent_volume::name(&self.world.executable)?;
        let host = sweep::Host {
            agent_volume: &agent,
            slot_prefix: &self.settings.docker.slot_prefix,
            kept_slots: self.settings.concurrency.unwrap_or(1),
            now,
            cut_short,
        };
        let others = sweep::others(&objects).map(|one| one.name.clone()).collect();
        Ok((sweep::plan(&objects, alive, &host), others))
    }

    /// Does it all and answers sentences about what could not be done.
    async fn act(&self, found: Found) -> Vec<String> {
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

fn orphaned(holder: &Holder, now: Moment) -> Option<&'static str> {
    sweep::orphaned(&holder.owner, holder.deadline, alive, now)
}

/// An owner that cannot be looked at is left to its deadline.
fn alive(owner: &Owner) -> Option<bool> {
    owner::is_alive(owner).ok().flatten()
}
