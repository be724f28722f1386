//! `longshore gc`: keeps images, caches and build cache within their room, and some of the disk free, by
//! removing what was not used for longest. Observe, plan, act.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::cli::GcArgs;
use crate::engine::Engine;
use crate::outcome::Outcome;
use crate::plan::gc::{GcPlan, Going};
use crate::settings::Settings;
use crate::stage::error::CallError;
use crate::world::{Stdio, World, unix};

use super::ledger::{Event, Ledger, LedgerError};
use super::shared_file::{self, Locked};
use super::space::Space;

mod act;
mod observe;
mod seeing;
mod show;

use observe::Observation;
pub(in crate::host) use show::bytes;

/// The lock.
const LOCK: &str = "gc.lock";

/// Who asked for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A person or the timer.
    Command,
    /// A job that finds too little.
    Admission,
}

/// Bytes that were freed, as far as the engine told the sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Of images.
    pub images: u64,
    /// Of volumes with projects' caches.
    pub cache_volumes: u64,
    /// Of what the builder keeps.
    pub build_cache: u64,
}

impl Freed {
    /// All together.
    pub fn all(&self) -> u64 {
        self.images + self.cache_volumes + self.build_cache
    }
}

/// What a collection did.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What is gone.
    pub removed: Vec<Going>,
    /// What that freed.
    pub freed: Freed,
    /// What should have gone and did not, and why, one line each.
    pub left: Vec<String>,
    /// Bytes that are wanted beyond that, and nothing is left to go for them.
    pub missing_bytes: u64,
    /// The room afterwards, where it can be seen.
    pub space: Option<Space>,
}

/// How often it looks again after removing, where the disk is still short: what the engine tells of
/// shared bytes is an estimate.
const ROUNDS: usize = 8;

/// The command: plans, removes unless only the plan is wanted, tells.
///
/// # Errors
/// When the engine does not answer, or something cannot be removed.
pub async fn command<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    args: &GcArgs,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let out = &mut stdio.stdout;
    if args.plan {
        let observation = observe::look(engine, settings, world).await?;
        let plan = observation.plan(settings, world);
        show::plan(&observation, &plan, settings, args.json, out).map_err(CallError::system)?;
        return Ok(Outcome::Success);
    }
    let report = run(engine, settings, world, Trigger::Command).await?;
    show::report(&report, settings, args.json, out).map_err(CallError::system)?;
    if report.left.is_empty() {
        return Ok(Outcome::Success);
    }
    Err(CallError::system(report.left.join("\n")))
}

/// Makes room. Two at once go one after the other. Does nothing where `[gc] enabled` is off.
///
/// # Errors
/// When the engine does not answer. What cannot be removed, locked or written down is in the report.
pub async fn run<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    trigger: Trigger,
) -> Result<Report, CallError> {
    let nothing = (Vec::new(), Freed::default(), Vec::new());
    let (removed, freed, left) = nothing;
    let mut report = Report { removed, freed, left, missing_bytes: 0, space: None };
    if !settings.gc.enabled {
        return Ok(report);
    }
    // Two at once would do no harm, so a lock that cannot be had is told, and no reason to leave all.
    let lock = lock(&settings.run_dir).await;
    let observation = observe::look(engine, settings, world).await?;
    let rounds = rounds(engine, settings, (world, observation), &mut report).await;
    // What went before the engine stopped to answer is gone, and has to be told.
    report.left.extend(rounds.err().map(|error| error.to_string()));
    report.left.extend(lock.err().map(|error| error.to_string()));
    let written = remember(settings, world, trigger, &report);
    report.left.extend(written.err().map(|error| error.to_string()));
    Ok(report)
}

/// Removes, and looks again, until the disk has what it should or nothing more goes.
async fn rounds<E: Engine>(
    engine: &E,
    settings: &Settings,
    (world, mut observation): (&World, Observation),
    report: &mut Report,
) -> Result<(), CallError> {
    for round in 1..=ROUNDS {
        let looked = unix((world.clock)());
        let plan = observation.plan(settings, world);
        report.missing_bytes = plan.missing_bytes;
        report.space = observation.seen.space().cloned();
        if plan.is_empty() {
            break;
        }
        let gone = report.removed.len();
        let acting = act::Acting { engine, settings, looked, observation: &observation };
        if !act::act(&acting, &plan, report).await {
            break;
        }
        let space = super::space::look(engine, settings).await?;
        let progressed = report.removed.len() > gone || plan.build_cache.is_some();
        let again = observation.is_still_short(settings, &space) && progressed && round < ROUNDS;
        report.space = space.space().cloned();
        if !again {
            break;
        }
        observation = observation.again(engine, settings, world).await?;
    }
    Ok(())
}

/// History, not state: what is gone is gone whether it is written down or not.
fn remember(
    settings: &Settings,
    world: &World,
    trigger: Trigger,
    report: &Report,
) -> Result<(), LedgerError> {
    let names: Vec<String> = report.removed.iter().map(Going::shown).collect();
    let Freed { images, cache_volumes, build_cache } = report.freed;
    let event = Event::Collected {
        trigger,
        objects: &names,
        images_bytes: images,
        cache_volumes_bytes: cache_volumes,
        build_cache_bytes: build_cache,
        left: &report.left,
    };
    Ledger::at(&settings.state_dir).append(&event, (world.clock)())
}

/// What the operator or a waiting job should know where the disk is short; `None` where it is not.
pub fn shortage(settings: &Settings, space: &Space) -> Option<String> {
    let (gc, path) = (&settings.gc, space.path.display());
    if gc.free.shortage(space.free_bytes, space.bytes).is_some() {
        let (free, low) = (show::bytes(space.free_bytes), show::bytes(gc.free.low.of(space.bytes)));
        return Some(format!("the file system of {path} has {free} free, less than {low}"));
    }
    gc.free_inodes.shortage(space.free_inodes, space.inodes).filter(|_| space.inodes > 0)?;
    let (free, low) = (space.free_inodes, gc.free_inodes.low.of(space.inodes));
    Some(format!("the file system of {path} has {free} inodes free, less than {low}"))
}

/// Held until it is dropped; asked for again and again, so that who waits can do other things.
async fn lock(run_dir: &Path) -> Result<Locked, CallError> {
    let path = run_dir.join(LOCK);
    let fail = |error: io::Error| {
        CallError::system(format!("failed to take the lock {}: {error}", path.display()))
    };
    loop {
        let file = shared_file::open_lock(run_dir, LOCK).map_err(fail)?;
        if let Some(taken) = shared_file::try_lock(file).map_err(fail)? {
            return Ok(taken);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
