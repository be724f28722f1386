//! From how a stage ended to whose fault it was, told in one line the job's author can act on.

use crate::agent::protocol::{Refusal, StageExit};
use crate::outcome::Outcome;

use super::call::Call;
use super::diagnosis;
use super::error::CallError;
use super::sink::RunnerSink;

/// The outcome of a stage that ended. What went wrong is told for every stage, what was used for the
/// user's own.
///
/// # Errors
/// The job's own fault where its entrypoint never ran the script; ours where the container was stopped
/// from outside or the disk was full before.
pub async fn of(
    call: &Call<'_>,
    exit: &StageExit,
    sink: &RunnerSink,
    user_stage: bool,
) -> Result<Outcome, CallError> {
    for line in diagnosis::problems(exit) {
        drop(sink.line(&line).await);
    }
    if user_stage {
        drop(sink.line(&diagnosis::resources(exit)).await);
    }
    if let Some(why) = exit.ended_by.and_then(diagnosis::is_ours) {
        return Err(CallError::system(why));
    }
    if exit.script_unread {
        return Err(unread(call, exit));
    }
    match exit.status.shell_code() {
        0 => Ok(Outcome::Success),
        _ if diagnosis::was_full(exit) => Err(CallError::system(
            "the stage failed on a disk that was full before it began\n  make room on this runner: \
             docker system df; longshore reap",
        )),
        code => Ok(Outcome::Script(code)),
    }
}

fn unread(call: &Call<'_>, exit: &StageExit) -> CallError {
    CallError::job(format!(
        "the entrypoint of the image {} ended with {} without running the script\n  \
         set it aside in the CI file: image: {{ name: ..., entrypoint: [\"\"] }}",
        call.plan.image.reference,
        exit.status.shell_code(),
    ))
}

/// What it means that the agent refused a stage.
pub fn refused(call: &Call<'_>, refusal: &Refusal) -> CallError {
    let image = &call.plan.image.reference;
    match refusal {
        Refusal::NoShell { .. } | Refusal::Start { .. } => {
            CallError::job(format!("the image {image} cannot run the script: {refusal}"))
        }
        Refusal::UnknownUser { .. } | Refusal::UnknownGroup { .. } => {
            CallError::job(format!("the image {image} cannot be used: {refusal}"))
        }
        other => CallError::system(format!("the agent refused the stage: {other}")),
    }
}
