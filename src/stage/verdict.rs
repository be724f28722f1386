//! From how a stage ended to whose fault it was, told in one line the job's author can act on.

use crate::agent::protocol::{EndedBy, Refusal, StageExit};
use crate::outcome::Outcome;

use super::call::Call;
use super::error::CallError;
use super::sink::RunnerSink;

/// The outcome of a stage that ended.
///
/// # Errors
/// The job's own fault where its entrypoint never ran the script; ours where the container was stopped
/// from outside or the runner is gone.
pub async fn of(
    call: &Call<'_>,
    exit: &StageExit,
    sink: &RunnerSink,
) -> Result<Outcome, CallError> {
    if exit.oom_kills > 0 {
        drop(sink.line(&memory_line(exit)).await);
    }
    if exit.survivors {
        let line = "longshore: a process of this stage hangs in the kernel and could not be killed";
        drop(sink.line(line).await);
    }
    match exit.ended_by {
        Some(EndedBy::Takeover) => {
            return Err(CallError::system("the stage was ended because the job is cleaned up"));
        }
        Some(EndedBy::Silence) => {
            return Err(CallError::system("the stage was ended because its driver fell silent"));
        }
        Some(EndedBy::Signal) | None => {}
    }
    if exit.script_unread {
        return Err(unread(call, exit));
    }
    Ok(match exit.status.shell_code() {
        0 => Outcome::Success,
        code => Outcome::Script(code),
    })
}

#[expect(clippy::cast_precision_loss, reason = "for people, to one decimal")]
fn memory_line(exit: &StageExit) -> String {
    let mega = |bytes: Option<u64>| {
        bytes.map_or_else(
            || "unknown".to_owned(),
            |bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        )
    };
    format!(
        "longshore: the kernel killed {} of this stage for memory: limit {}, peak {}\n  \
         use less, or ask the operator of this runner for more ([limits] memory)",
        if exit.oom_kills == 1 {
            "a process".to_owned()
        } else {
            format!("{} processes", exit.oom_kills)
        },
        mega(exit.memory.limit),
        mega(exit.memory.peak),
    )
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
