//! Whose fault a failed job is told to be, and in which words.

use super::job_json::FakeJob;
use super::real::{Host, assert_says};
use super::running::{FailureReason, JobResult};

/// The driver's message, without the runner's own lines about it.
pub(crate) fn message(result: &JobResult) -> String {
    let trace = result.trace_text();
    let begins =
        trace.find("ERROR: longshore: ").unwrap_or_else(|| panic!("no message in:\n{trace}"));
    let message = &trace[begins..];
    let ends = message[1..].find("ERROR: ").or_else(|| message.find("WARNING: "));
    ends.map_or(message, |at| &message[..=at]).to_owned()
}

/// The job's own fault: told once, tried once.
pub(crate) fn blames_the_job(host: &Host, job: &FakeJob, words: &[&str]) {
    let result = host.run(job);
    assert_eq!(
        result.failure_reason,
        Some(FailureReason::ScriptFailure),
        "{}",
        result.trace_text()
    );
    assert_says(&message(&result), words);
    let told = result.trace_text().matches("ERROR: longshore: ").count();
    assert_eq!(told, 1, "{}", result.trace_text());
}

/// The host's fault: the runner tries three times.
pub(crate) fn blames_the_host(host: &Host, job: &FakeJob, words: &[&str]) {
    let result = host.run(job);
    let reason = result.failure_reason;
    assert_eq!(reason, Some(FailureReason::RunnerSystemFailure), "{}", result.trace_text());
    assert_says(&message(&result), words);
    assert_eq!(result.calls.iter().filter(|call| call.call == "config").count(), 3);
}
