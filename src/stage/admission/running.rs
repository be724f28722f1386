//! What runs on this host, as far as it stands in the way of one more job: containers of jobs (one that is
//! being removed still is there), jobs that were let in and have none yet, and what raw-socket jobs left.

use crate::engine::{ContainerSummary, Engine, EngineError};
use crate::host::queue::Standing;
use crate::host::{orphans, owner};
use crate::plan::admission::Weight;
use crate::plan::owner::{Moment, Owner};
use crate::plan::sweep;
use crate::stage::call::Call;
use crate::stage::error::CallError;

use super::gate::Gate;

/// The label, with its value, of the container that stands for a job.
const JOB: (&str, &str) = ("longshore.kind", "job");

/// The containers that count; none where nothing does.
///
/// # Errors
/// When the engine does not answer.
pub(super) async fn containers<E: Engine>(
    gate: &Gate<'_, E>,
) -> Result<Vec<ContainerSummary>, EngineError> {
    let settings = &gate.call.settings;
    let raw = settings.has_raw_socket();
    if !raw && !settings.admission.limits_jobs() {
        return Ok(Vec::new());
    }
    let filter = format!("{}={}", JOB.0, JOB.1);
    gate.engine.containers((!raw).then_some(&*filter)).await
}

/// What the job lacks beside all that runs; `let_in` are those who may have no container yet.
///
/// # Errors
/// Ours: what raw-socket jobs left will not go by itself.
pub(super) fn lack<E: Engine>(
    gate: &Gate<'_, E>,
    containers: &[ContainerSummary],
    let_in: &[&Standing],
) -> Result<Option<String>, CallError> {
    let jobs = jobs(gate.call, containers);
    if gate.call.settings.has_raw_socket()
        && let Some(why) = too_many_left(gate.call, containers, &jobs)?
    {
        return Ok(Some(why));
    }
    let has_container = |key: &str| jobs.iter().any(|job| job_key(job) == Some(key));
    let without = let_in.iter().filter(|one| !has_container(&one.entry.key));
    let weights: Vec<Weight> = jobs
        .iter()
        .map(|job| Weight::read(&job.labels))
        .chain(without.map(|one| one.entry.weight))
        .collect();
    Ok(gate.room.lack(&weights, gate.ticket.entry.weight).map(|lack| lack.to_string()))
}

/// The containers of other jobs, but those that nobody owns any more: `reap` removes them.
fn jobs<'c>(call: &Call<'_>, containers: &'c [ContainerSummary]) -> Vec<&'c ContainerSummary> {
    let now = owner::now(call.world);
    let alive = |owner: &Owner| owner::is_alive(owner).ok().flatten();
    let orphaned = |one: &ContainerSummary| {
        let deadline = Moment::read_deadline(&one.labels)?;
        sweep::orphaned(&Owner::read(&one.labels)?, deadline, alive, now)
    };
    let own = call.plan.key.as_str();
    let others = containers.iter().filter(|one| job_key(one).is_some_and(|key| key != own));
    others.filter(|one| orphaned(one).is_none()).collect()
}

/// What to wait for, where raw-socket jobs left more than they may and one of them still runs.
fn too_many_left(
    call: &Call<'_>,
    containers: &[ContainerSummary],
    jobs: &[&ContainerSummary],
) -> Result<Option<String>, CallError> {
    let left = orphans::left(&call.settings, containers);
    let most = call.settings.admission.max_app_containers;
    if left.len() <= usize::try_from(most).unwrap_or(usize::MAX) {
        return Ok(None);
    }
    let names: Vec<&str> = left.iter().map(|one| one.name.as_str()).collect();
    let told = format!(
        "{} containers run that jobs with the raw Docker socket started, and {most} may \
         (admission.max_app_containers): {}",
        names.len(),
        names.join(", ")
    );
    if jobs.iter().any(|job| orphans::is_raw_job(job)) {
        return Ok(Some(told));
    }
    Err(CallError::system(format!(
        "{told}\n  no such job runs any more, so they were left behind: the operator of this runner removes \
         them with `longshore reap --force-orphans`, or names those that belong here in [admission] \
         other_containers"
    )))
}

/// The key of the job whose container this is. Images hand labels down, so the name has to fit.
fn job_key(container: &ContainerSummary) -> Option<&str> {
    let label = |key: &str| container.labels.get(key).map(String::as_str);
    let key = label("longshore.job").filter(|_key| label(JOB.0) == Some(JOB.1))?;
    let name = container.name.strip_prefix("longshore-")?.strip_suffix("-job")?;
    (name == key).then_some(key)
}
