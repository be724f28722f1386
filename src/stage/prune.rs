//! After a delivery that succeeded: the pipeline's tags go from this host, `latest` stays.

use crate::agent::protocol::StageRecord;
use crate::engine::{Engine, EngineError, Fault, Removed};
use crate::host::ledger::Event;
use crate::plan::prune::{self, LocalImage, PrunePlan};

use super::attach;
use super::call::Call;
use super::error::CallError;
use super::sink::RunnerSink;

/// Prunes, where this job is a delivery and all of its scripts succeeded. What cannot be removed is
/// said and left: the delivery is done, and its job does not fail for a tag.
///
/// # Errors
/// When the job container's agent or the engine does not answer.
pub async fn after_delivery<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    sink: &RunnerSink,
) -> Result<(), CallError> {
    let Some(policy) = &call.plan.prune else { return Ok(()) };
    let (_, hello) = attach::open(engine, &call.plan.job_name()).await?;
    if !succeeded(&hello.stages) {
        return Ok(());
    }
    let containers = engine.containers(None).await?;
    let used = containers.into_iter().map(|one| one.image_id).collect();
    let images: Vec<LocalImage> = engine.images().await?.into_iter().map(local).collect();
    let plan = prune::plan(policy, &images, &used);
    let done = act(call, engine, &plan).await;
    tell(&plan, &done, sink).await;
    Ok(())
}

/// Whether the user's own scripts ran, and all ended with 0.
fn succeeded(stages: &[StageRecord]) -> bool {
    let mut user = stages
        .iter()
        .filter(|one| one.stage == "build_script" || one.stage.starts_with("step_"))
        .peekable();
    user.peek().is_some() && user.all(|one| one.code == 0)
}
