//! After a delivery that succeeded: the pipeline's tags go from this host, `latest` stays.

use crate::agent::protocol::StageRecord;
use crate::engine::{Engine, EngineError, Fault, ImageSummary, Removed};
use crate::host::ledger::Event;
use crate::plan::Role;
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
    let (_, hello) = attach::open(engine, &call.plan.container_name(Role::Job)).await?;
    if !succeeded(&hello.stages) {
        return Ok(());
    }
    let containers = engine.containers(None).await?;
    let used = containers.into_iter().map(|one| one.image_id).collect();
    let before = engine.images().await?;
    let images: Vec<LocalImage> = before.iter().cloned().map(local).collect();
    let plan = prune::plan(policy, &images, &used);
    let done = act(call, engine, &plan).await;
    let freed = if done.removed.is_empty() { 0 } else { freed(&before, &engine.images().await?) };
    tell(&plan, &done, freed, sink).await;
    call.record(&Event::Pruned {
        job: call.plan.key.as_str(),
        references: &done.removed,
        bytes: freed,
    });
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

fn local(image: ImageSummary) -> LocalImage {
    let revision = LocalImage::revision_of(&image.labels);
    LocalImage { id: image.id, tags: image.tags, digests: image.digests, revision }
}

/// What came of a plan.
#[derive(Default)]
struct Done {
    removed: Vec<String>,
    failed: Vec<EngineError>,
}

async fn act<E: Engine>(call: &Call<'_>, engine: &E, plan: &PrunePlan) -> Done {
    let mut done = Done::default();
    if plan.remove.is_empty() {
        return done;
    }
    // Before it is done: should we be killed now, the next one knows what was meant.
    call.record(&Event::Pruning { job: call.plan.key.as_str(), references: &plan.remove });
    for reference in &plan.remove {
        match engine.remove_image(reference).await {
            Ok(Removed::Gone) => done.removed.push(reference.clone()),
            Ok(Removed::Absent) => {}
            Err(error) => done.failed.push(error),
        }
    }
    done
}

async fn tell(plan: &PrunePlan, done: &Done, freed: u64, sink: &RunnerSink) {
    let mut lines: Vec<String> =
        done.removed.iter().map(|reference| format!("longshore: pruned {reference}")).collect();
    lines.extend(
        plan.spared.iter().map(|(reference, why)| format!("longshore: kept {reference}: {why}")),
    );
    lines.extend(done.failed.iter().map(|error| match error.fault {
        Fault::Conflict => format!("longshore: kept {}: it is in use", error.object),
        _ => format!("longshore: kept: {error}"),
    }));
    if !done.removed.is_empty() {
        lines.push(format!(
            "longshore: {} references pruned, {freed} bytes freed",
            done.removed.len()
        ));
    }
    for line in lines {
        drop(sink.line(&line).await);
    }
}

/// Bytes of images that are there no more.
fn freed(before: &[ImageSummary], after: &[ImageSummary]) -> u64 {
    let gone = before.iter().filter(|one| !after.iter().any(|other| other.id == one.id));
    gone.map(|one| one.size).sum()
}
