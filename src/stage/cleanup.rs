//! `cleanup`: hands the removal to a worker and lets the runner go on, because the runner counts this
//! call into the job's time.

use crate::engine::Engine;
use crate::host::ledger::{Event, Ledger};
use crate::plan::removal::RemovalPlan;

use super::call::Call;
use super::error::CallError;
use super::{removal, worker};

/// Writes the plan to the ledger and hands it to a worker.
///
/// # Errors
/// When no worker can be started; the objects are left to `reap` then.
pub fn hand_over(call: &Call<'_>) -> Result<(), CallError> {
    let plan = call.plan.removal();
    call.record(&Event::Removing { job: call.plan.key.as_ref() });
    let json = serde_json::to_vec(&plan).map_err(CallError::system)?;
    worker::hand_over(&call.world.executable, &call.settings_path, &json).map_err(|error| {
        CallError::system(format!(
            "failed to start the worker that removes the job's containers: {error}\n  \
             they are removed by the next `longshore reap`"
        ))
    })
}

/// What the worker does: removes, and says in the ledger what it could not remove.
pub async fn work<E: Engine>(engine: &E, plan: &RemovalPlan) -> Vec<String> {
    removal::remove(engine, plan).await.iter().map(ToString::to_string).collect()
}

/// The ledger's line about a finished removal.
pub fn finished<'a>(ledger: &'a Ledger, job: &'a str, left: &'a [String]) -> (&'a Ledger, Event<'a>) {
    (ledger, Event::Removed { job, left })
}
