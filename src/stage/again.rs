//! Makes a job's containers once more where one has vanished under a stage, as GitLab's executor does with
//! `EXECUTOR_JOB_SECTION_ATTEMPTS`. It does not run the stage.

use bytes::Bytes;

use crate::engine::Engine;
use crate::joblog::JobLog;
use crate::plan::removal::RemovalPlan;
use crate::secrets::{MaskSet, SecretSource};

use super::call::Call;
use super::error::CallError;
use super::sink::RunnerSink;
use super::{prepare, removal};

/// GitLab's variable for how often a stage is tried where its container vanishes.
const ATTEMPTS: &str = "EXECUTOR_JOB_SECTION_ATTEMPTS";

/// The most that counts.
const MOST: u32 = 10;

/// How often a stage is tried; 1 where the job does not say. Source: GitLab's executor.
pub fn attempts(call: &Call<'_>) -> u32 {
    let asked = call.context.variable(ATTEMPTS).and_then(|text| text.trim().parse().ok());
    asked.unwrap_or(1).clamp(1, MOST)
}

/// Whether a container is gone, or stands there without its process, for no fault of the job.
///
/// # Errors
/// When the engine does not answer.
pub async fn is_gone<E: Engine>(engine: &E, container: &str) -> Result<bool, CallError> {
    let state = engine.inspect(container).await?;
    Ok(state.is_none_or(|state| !state.running && !state.oom_killed))
}

/// Makes all containers of a prepared job once more, on the volumes that it has: who joins a network goes
/// with its owner, and services with the job.
///
/// # Errors
/// As with `prepare`; nothing is left then.
pub async fn make<E: Engine, S: SecretSource>(
    call: &Call<'_>,
    engine: &E,
    source: &S,
    sink: &RunnerSink,
) -> Result<(), CallError> {
    let words = "longshore: a container of this job is gone: somebody removed or stopped it; making all \
                 of them again and trying the stage once more";
    drop(sink.line(words).await);
    let containers = RemovalPlan { volumes: Vec::new(), ..call.plan.removal() };
    if let Some(left) = removal::remove(engine, &containers).await.into_iter().next() {
        return Err(left.into());
    }
    let mut told = Vec::new();
    let made = {
        let mut log = JobLog::new(&mut told, call.world.clock);
        log.mask(MaskSet::new(call.context.masked_values()));
        Box::pin(prepare::prepare(call, engine, source, &mut log)).await
    };
    drop(sink.beside(Bytes::from(told)).await);
    made
}
