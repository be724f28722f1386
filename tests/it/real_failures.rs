//! What a job is told when it fails for another reason than its own exit code, and whose fault it is.

use std::process::Command;
use std::time::Duration;

use crate::support::call::Exit;
use crate::support::job_json::image_value;
use crate::support::real::{Host, assert_says, await_gone, busybox, job_container};
use crate::support::running::{FailureReason, JobResult};

const SOON: Duration = Duration::from_mins(1);

fn why(result: &JobResult) -> (Option<FailureReason>, Option<i32>) {
    (result.failure_reason, result.exit_code)
}

fn docker(words: &[&str]) {
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}

#[test]
fn a_command_killed_by_a_signal_is_told_apart_from_memory() {
    let result = Host::new().run(&busybox(["sh -c 'kill -9 $$'"]));
    assert_eq!(why(&result), (Some(FailureReason::ScriptFailure), Some(137)));
    let told = "exit code 137 means that a command of the script was ended by signal 9 (KILL): not for memory";
    assert_says(&result.trace_text(), &[told]);
}

#[test]
fn a_script_whose_shell_is_killed_is_a_script_failure() {
    let script = "#!/bin/sh\nkill -9 $$\n";
    let result = Host::new().run(&busybox(["true"]).stage_script("build_script", script));
    assert_eq!(why(&result), (Some(FailureReason::ScriptFailure), Some(137)));
    assert_says(&result.trace_text(), &["the script's shell was ended by signal 9 (KILL)"]);
}

#[test]
fn a_job_that_starts_too_many_processes_is_told_the_limit() {
    let host = Host::new().table("[limits]\npids = 40\n");
    let many = "for i in $(seq 1 60); do sleep 5 & done; wait";
    let result = host.run(&busybox([many]));
    assert_says(&result.trace_text(), &["new processes of this stage: the limit is 40\n"]);
    assert_eq!(result.failure_reason, Some(FailureReason::ScriptFailure));
}

#[test]
fn a_container_that_somebody_stops_is_no_fault_of_the_job() {
    let host = Host::new();
    let job = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().start(&job);
    running.wait_for_output("\nbegun", SOON);
    docker(&["stop", "-t", "5", &job_container(&job)]);
    let result = running.join();
    await_gone(&job);
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    assert_eq!(result.call("build_script").exit, Exit::Code(2));
    assert_says(&result.trace_text(), &["ERROR: longshore: the", "somebody stopped it"]);
}

#[test]
fn a_container_that_somebody_removes_is_no_fault_of_the_job() {
    let host = Host::new();
    let job = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().start(&job);
    running.wait_for_output("\nbegun", SOON);
    docker(&["rm", "-f", &job_container(&job)]);
    let result = running.join();
    await_gone(&job);
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    // The daemon may still be at the removal when it is asked.
    assert_says(&result.trace_text(), &["ERROR: longshore: the container ", "somebody "]);
}

#[test]
fn a_container_that_vanishes_is_made_again_where_the_job_wants_it() {
    let host = Host::new();
    // The first try waits to be removed; the second finds what the first left in the project's directory.
    let script = "if test -e tried; then echo second; else touch tried; echo first; sleep 300; fi";
    let mut service = image_value("longshore-test/service:1");
    service["alias"] = "web".into();
    let job = busybox([script])
        .variable("EXECUTOR_JOB_SECTION_ATTEMPTS", "2")
        .service_value(service)
        .after_script(["echo afterwards"]);
    let running = host.runner().start(&job);
    running.wait_for_output("\nfirst", SOON);
    docker(&["rm", "-f", &job_container(&job)]);
    let result = running.join();
    await_gone(&job);
    result.assert_success();
    let told = ["making all of them again", "is ready after", "\nsecond\n", "\nafterwards\n"];
    assert_says(&result.trace_text(), &told);
}

#[test]
fn a_container_that_vanishes_between_stages_is_made_again_with_its_helper() {
    let host = Host::new();
    let job = busybox(["echo second stage"])
        .variable("EXECUTOR_JOB_SECTION_ATTEMPTS", "2")
        .variable("GIT_STRATEGY", "fetch")
        .stage_script("get_sources", "#!/bin/sh\necho first stage\nsleep 3\n");
    let running = host.runner().start(&job);
    running.wait_for_output("first stage\n", SOON);
    docker(&["rm", "-f", &job_container(&job)]);
    let result = running.join();
    await_gone(&job);
    assert_says(&result.trace_text(), &["making all of them again", "second stage\n"]);
    assert_eq!(result.call("build_script").exit, Exit::Code(0));
}
