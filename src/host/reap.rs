//! `longshore reap`: removes what jobs left behind whose runner is gone, finishes cleanups that were cut
//! short, and ends such jobs' access to Vault. Observe, plan, act.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::ReapArgs;
use crate::engine::{Engine, EngineError};
use crate::outcome::Outcome;
use crate::plan::owner::{Moment, Owner};
use crate::plan::sweep::{self, CUT_SHORT, Doomed};
use crate::secrets::vault::{Holder, Kept};
use crate::settings::Settings;
use crate::stage::error::CallError;
use crate::stage::{agent_volume, vault};
use crate::world::{Stdio, World};

use super::owner;

mod act;
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
}

fn orphaned(holder: &Holder, now: Moment) -> Option<&'static str> {
    sweep::orphaned(&holder.owner, holder.deadline, alive, now)
}

/// An owner that cannot be looked at is left to its deadline.
fn alive(owner: &Owner) -> Option<bool> {
    owner::is_alive(owner).ok().flatten()
}
