//! After a delivery that succeeded: decides what goes from this host, writes it down and says so. The work
//! itself is the worker's, once the job's own containers are gone, so that the job does not wait for it.

use std::collections::BTreeMap;

use crate::agent::protocol::StageRecord;
use crate::engine::Engine;
use crate::host::ledger::Ledger;
use crate::host::prune::{self as host_prune, Pending};
use crate::plan::Role;
use crate::plan::prune::{self, PrunePlan, Rivals, Why};

mod remote;

use super::attach;
use super::call::Call;
use super::error::CallError;
use super::sink::RunnerSink;
use crate::secrets::SecretSource;

/// Plans the prune, where this job is a delivery and succeeded. What cannot be removed is said and left:
/// the delivery is done, and its job does not fail for a tag.
///
/// # Errors
/// When an agent of the job or the engine does not answer.
pub async fn after_delivery<E: Engine, S: SecretSource>(
    call: &Call<'_>,
    engine: &E,
    source: &S,
    sink: &RunnerSink,
) -> Result<(), CallError> {
    let Some(policy) = &call.plan.prune else { return Ok(()) };
    let now = (call.world.clock)();
    // Side by side: the job waits for it.
    let (succeeded, seen) = tokio::join!(succeeded(call, engine), host_prune::observe(engine, now));
    if !succeeded? {
        return Ok(());
    }
    let mut seen = seen?;
    host_prune::record::add(&mut seen, &Ledger::at(&call.settings.state_dir));
    host_prune::age::learn(engine, &call.settings, (policy, &mut seen)).await?;
    let plan = prune::plan(policy, &seen);
    tell(&plan, sink).await;
    let pending = Pending::new(call.plan.key.as_str(), policy, &plan);
    if !written(call, &pending) {
        // Without the ledger no worker would know of it.
        let done = host_prune::act(engine, &call.settings, (now, &pending)).await;
        for left in &done.left {
            say(sink, &format!("kept {left}")).await;
        }
        call.record(&done.event(&pending.job));
    }
    // After it is written down what goes from this host: the registry may be slow, and we may be killed.
    if let Some(place) = &call.plan.prune_registry {
        let target = remote::Target { policy, place, rivals: Rivals::of(policy, &seen) };
        remote::untag(call, &target, source, sink).await;
    }
    Ok(())
}

/// Whether the plan is on the disk, with every name as it is: the ledger holds no masked value.
fn written(call: &Call<'_>, pending: &Pending) -> bool {
    let event = pending.event();
    let Ok(text) = serde_json::to_vec(&event) else { return false };
    let ledger = Ledger::at(&call.settings.state_dir);
    call.masks.set().mask(&text) == text && ledger.append(&event, (call.world.clock)()).is_ok()
}

/// Whether the user's own scripts ran, and nothing that the job's status depends on has failed.
async fn succeeded<E: Engine>(call: &Call<'_>, engine: &E) -> Result<bool, CallError> {
    let (_, job) = attach::open(engine, &call.plan.container_name(Role::Job)).await?;
    let helper = match call.plan.helper_image {
        None => Vec::new(),
        Some(_) => attach::open(engine, &call.plan.container_name(Role::Helper)).await?.1.stages,
    };
    Ok(all_well(&job.stages, &helper))
}

fn all_well(job: &[StageRecord], helper: &[StageRecord]) -> bool {
    // A stage that failed may have been tried again.
    let last: BTreeMap<&str, i32> =
        job.iter().chain(helper).map(|one| (one.stage.as_str(), one.code)).collect();
    let counts = |stage: &str| stage != "after_script";
    last.keys().any(|stage| *stage == "build_script" || stage.starts_with("step_"))
        && last.iter().all(|(stage, code)| *code == 0 || !counts(stage))
}

async fn tell(plan: &PrunePlan, sink: &RunnerSink) {
    for one in &plan.remove {
        say(sink, &format!("prunes {}", one.reference)).await;
    }
    // What the settings keep is no news.
    for one in plan.spared.iter().filter(|one| one.why != Why::Kept) {
        say(sink, &format!("kept {}: {}", one.reference, one.why)).await;
    }
}

async fn say(sink: &RunnerSink, line: &str) {
    drop(sink.line(&format!("longshore: {line}")).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(stages: &[(&str, i32)]) -> Vec<StageRecord> {
        let record =
            |(stage, code): &(&str, i32)| StageRecord { stage: (*stage).into(), code: *code };
        stages.iter().map(record).collect()
    }

    #[test]
    fn a_job_succeeds_by_its_own_scripts_and_its_uploads() {
        let build = ("build_script", 0);
        for (job, helper, well) in [
            (vec![build], vec![], true),
            (vec![("step_script", 0), ("step_release", 0)], vec![], true),
            (vec![build, ("after_script", 1)], vec![("get_sources", 0)], true),
            (vec![build], vec![("get_sources", 1), ("get_sources", 0)], true),
            (vec![build], vec![("upload_artifacts_on_success", 1)], false),
            (vec![("build_script", 1)], vec![], false),
            (vec![("step_script", 0), ("step_release", 143)], vec![], false),
            (vec![("after_script", 0)], vec![("get_sources", 0)], false),
        ] {
            assert_eq!(all_well(&records(&job), &records(&helper)), well, "{job:?} {helper:?}");
        }
    }
}
