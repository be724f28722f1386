//! `cleanup`: hands the removal to a worker and lets the runner go on, because the runner counts this
//! call into the job's time.

use std::io::Read;
use std::path::Path;

use crate::engine::Engine;
use crate::host::last_use::{Kind, LastUse};
use crate::host::ledger::{Event, Ledger};
use crate::host::prune;
use crate::host::reap::directories;
use crate::outcome::Outcome;
use crate::plan::cache;
use crate::plan::removal::RemovalPlan;
use crate::settings::Settings;
use crate::world::{Stdio, World};

use super::creating::{self, Unanswered};
use super::error::CallError;
use super::{call, leases, removal, removal_lock, worker};

/// In place of GitLab's word, where the job's author wrote one: then the stages that were seen decide.
const UNKNOWN: &str = "unknown";

/// Writes the plan to the ledger and hands it to a worker.
///
/// It does not compile the job's plan: a job that is refused made nothing, and one that was let in under
/// other settings has to go all the same.
///
/// # Errors
/// When settings or job cannot be read, or no worker can be started; the objects are left to `reap` then.
pub fn hand_over(world: &World, settings_path: &Path) -> Result<Outcome, CallError> {
    let settings = call::read_settings(settings_path)?;
    let context = call::read_context(world)?;
    let plan = RemovalPlan::of_job(&context.response, &settings);
    let status = context.runner_variable("CI_JOB_STATUS").unwrap_or(UNKNOWN);
    let event = Event::Finished { job: &plan.job, status };
    // History, not state.
    drop(Ledger::at(&settings.state_dir).append(&event, (world.clock)()));
    start_worker(world, settings_path, &settings, &plan)
}

/// Starts the worker for a plan; needs nothing of the runner's files, which may be gone with it.
///
/// # Errors
/// When it cannot be started.
pub fn start_worker(
    world: &World,
    settings_path: &Path,
    settings: &Settings,
    plan: &RemovalPlan,
) -> Result<Outcome, CallError> {
    let event = Event::Removing { job: &plan.job };
    // History; the worker removes whether it is written down or not.
    drop(Ledger::at(&settings.state_dir).append(&event, (world.clock)()));
    let json = serde_json::to_vec(plan).map_err(CallError::system)?;
    // Without it nobody knows should the worker be killed; the owner's end and the deadline are left then.
    let lock = removal_lock::begin(&settings.run_dir, &plan.job).ok();
    worker::hand_over(&world.executable, settings_path, &json, lock).map_err(|error| {
        CallError::system(format!(
            "failed to start the worker that removes the job's containers: {error}\n  \
             they are removed by the next `longshore reap`"
        ))
    })?;
    Ok(Outcome::Success)
}

/// What the worker does: removes and revokes, and says in the ledger what is left.
///
/// # Errors
/// When it was given no plan, or something is left.
pub async fn work<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let mut json = Vec::new();
    stdio.stdin.read_to_end(&mut json).map_err(CallError::system)?;
    let plan: RemovalPlan = serde_json::from_slice(&json).map_err(|error| {
        CallError::system(format!("this command is started by `cleanup` with a plan: {error}"))
    })?;
    note_uses(engine, settings, world, &plan.job).await;
    let unanswered = creating::of_job(&settings.run_dir, &plan.job);
    if let Some(unanswered) = &unanswered {
        remove_late(engine, unanswered).await;
    }
    let (objects, tokens) = tokio::join!(
        removal::remove_all(engine, &plan),
        leases::end_of_job(settings, world, &plan.job)
    );
    // A container of the job's own may use what is to go.
    let unpruned = if plan.delivery {
        prune::of_job(engine, settings, (&plan.job, (world.clock)())).await
    } else {
        Vec::new()
    };
    let objects = objects.iter().map(ToString::to_string);
    let left: Vec<String> = objects.chain(tokens).chain(unpruned).collect();
    // No masks: names out of the job's key, the daemon's words about them, and tokens by their accessors.
    let event = Event::Removed { job: &plan.job, left: &left };
    let recorded = Ledger::at(&settings.state_dir).append(&event, (world.clock)());
    if !left.is_empty() {
        return Err(CallError::system(left.join("; ")));
    }
    directories::forget_gone(settings, &plan.job);
    removal_lock::finish(&settings.run_dir, &plan.job).map_err(CallError::system)?;
    recorded.map_err(CallError::system)?;
    Ok(Outcome::Success)
}

/// What its `prepare` was killed at, or got no answer about. What does not come in time stays noted down.
async fn remove_late<E: Engine>(engine: &E, unanswered: &Unanswered) {
    let came = removal::remove_late(engine, &unanswered.names).await;
    if came == unanswered.names {
        // One that stays is looked at again by the next reap.
        drop(unanswered.forget());
    }
}

/// What its containers stand on was in use until now. What cannot be found out or written down only
/// changes what goes first when room runs short.
async fn note_uses<E: Engine>(engine: &E, settings: &Settings, world: &World, job: &str) {
    let label = format!("longshore.job={job}");
    let Ok(containers) = engine.containers(Some(&label)).await else { return };
    let (record, now) = (LastUse::at(&settings.state_dir), (world.clock)());
    for container in containers {
        drop(record.note(Kind::Image, &container.image_id, now));
        for volume in container.volumes.iter().filter(|name| cache::is_volume(name)) {
            drop(record.note(Kind::CacheVolume, volume, now));
        }
    }
}
