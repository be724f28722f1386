//! The fake runner, proven: every row of the contract's tables on exit numbers and on signals.

use crate::support::call::Exit;
use crate::support::fake_runner::FakeRunner;
use crate::support::job_json::FakeJob;
use crate::support::recorder::{Recorder, SMALLEST, failed, is_empty, verdict};
use crate::support::running::{FailureReason, JobStatus};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn job() -> FakeJob {
    FakeJob::new()
}

#[test]
fn exit_numbers_of_run_become_gitlabs_verdict() {
    use FailureReason::{RunnerSystemFailure, ScriptFailure};
    let file = "> \"$BUILD_EXIT_CODE_FILE\"; exit 1";
    let rows = [
        ("exit 0".to_owned(), (JobStatus::Success, None, None)),
        ("exit 1".to_owned(), failed(Some(1), ScriptFailure)),
        (format!("echo 37 {file}"), failed(Some(37), ScriptFailure)),
        (format!("echo 300 {file}"), failed(Some(300), ScriptFailure)),
        (format!("echo seven {file}"), failed(None, RunnerSystemFailure)),
        ("exit 2".to_owned(), failed(None, RunnerSystemFailure)),
        ("exit 3".to_owned(), failed(None, RunnerSystemFailure)),
        ("exit 255".to_owned(), failed(None, RunnerSystemFailure)),
        ("kill -KILL $$".to_owned(), failed(None, RunnerSystemFailure)),
    ];
    for (shell, expected) in rows {
        let result = Recorder::new().when("build_script", &shell).run(&job());
        assert_eq!(verdict(&result), expected, "{shell}");
        assert_eq!(result.call_names(), SMALLEST, "{shell}");
    }
}

#[test]
fn a_code_left_by_an_earlier_stage_is_read_again() {
    let driver = Recorder::new()
        .when("prepare_script", "echo 55 > \"$BUILD_EXIT_CODE_FILE\"; exit 0")
        .when("build_script", "exit 1");
    assert_eq!(verdict(&driver.run(&job())), failed(Some(55), FailureReason::ScriptFailure));
}

#[test]
fn prepare_failures_are_tried_three_times_unless_the_job_is_to_blame() {
    for (call, shell) in [("prepare", "exit 2"), ("prepare", "exit 3"), ("config", "exit 2")] {
        let result = Recorder::new().when(call, shell).run(&job());
        assert_eq!(
            verdict(&result),
            failed(None, FailureReason::RunnerSystemFailure),
            "{call} {shell}"
        );
        let mut once = vec!["config", "prepare", "cleanup"];
        once.retain(|name| call == "prepare" || *name != "prepare");
        assert_eq!(result.call_names(), once.repeat(3), "{call} {shell}");
    }
    for call in ["config", "prepare"] {
        let result = Recorder::new().when(call, "exit 1").run(&job());
        assert_eq!(verdict(&result), failed(Some(1), FailureReason::ScriptFailure));
        assert_eq!(result.call_names().last().unwrap(), "cleanup");
        assert_eq!(result.calls.iter().filter(|made| made.call == "config").count(), 1);
    }
}

#[test]
fn a_second_try_can_succeed_in_a_directory_of_its_own() {
    let driver = Recorder::new()
        .when("prepare", "[ -e \"$RECORD/tried\" ] || { touch \"$RECORD/tried\"; exit 2; }");
    let result = driver.run(&job());
    result.assert_success();
    assert_eq!(result.call_names()[..5], ["config", "prepare", "cleanup", "config", "prepare"]);
    assert_ne!(result.calls[1].directory, result.calls[4].directory);
}

#[test]
fn junk_from_config_is_an_error_and_silence_is_not() {
    let result = Recorder::new().when("config", "echo '{} {}'; exit 0").run(&job());
    assert_eq!(verdict(&result), failed(None, FailureReason::RunnerSystemFailure));
    assert_eq!(result.call_names(), ["config", "cleanup"].repeat(3));
    let mut driver = Recorder::new().when("config", "echo to-the-log >&2; exit 0");
    let result = driver.run(&job());
    assert_eq!(verdict(&result), failed(None, FailureReason::RunnerConfigurationError));
    let builds = driver.path("toml").display().to_string();
    driver.runner = driver.runner.clone().directories(&builds, "/cache");
    let result = driver.run(&job());
    result.assert_success();
    assert!(result.trace_text().contains("to-the-log"));
    assert_eq!(driver.env("prepare", "CUSTOM_ENV_CI_BUILDS_DIR").unwrap(), builds);
}

#[test]
fn a_driver_that_cannot_start_is_our_fault() {
    let result = FakeRunner::new("/no/such/driver").retry_interval(Duration::ZERO).run(&job());
    assert_eq!(verdict(&result), failed(None, FailureReason::RunnerSystemFailure));
    assert_eq!(result.call_names(), ["config", "cleanup"].repeat(3));
    let result = Recorder::new().run(&job().variable("BIG", &"x".repeat(131_072)));
    assert!(matches!(result.calls[0].exit, Exit::NotStarted(_)), "{:?}", result.calls[0].exit);
    Recorder::new().run(&job().variable("BIG", &"x".repeat(131_000))).assert_success();
}

#[test]
fn cleanup_may_fail_without_changing_the_verdict() {
    let driver = Recorder::new().when("cleanup", "echo out; echo err >&2; exit 1");
    let result = driver.run(&job());
    result.assert_success();
    let (cleanup, log) = (result.call("cleanup"), result.runner_log_text());
    assert_eq!((cleanup.stdout().as_str(), cleanup.stderr().as_str()), ("out\n", "err\n"));
    assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
    assert!(log.ends_with("WARNING: Executor cleanup failed\n"), "{log}");
    assert!(!result.trace_text().contains("err\n"));
}

#[test]
fn cancel_ends_the_script_and_lets_after_script_run() {
    let driver = Recorder::new();
    let job = job().script(["echo begun", "sleep 30", "echo never"]).after_script(["echo after"]);
    let running = driver.runner.start(&job);
    running.wait_for_output("begun", LONG);
    running.cancel();
    let result = running.join();
    assert_eq!(verdict(&result), (JobStatus::Canceled, None, None));
    assert_eq!(
        result.call_names()[4..],
        ["run build_script", "run after_script", "run cleanup_file_variables", "cleanup"]
    );
    assert_eq!(result.call("build_script").exit, Exit::Signal(15));
    assert_eq!(driver.env("after_script", "CUSTOM_ENV_CI_JOB_STATUS").unwrap(), "canceled");
    assert!(result.duration < LONG);
}

#[test]
fn cancel_before_the_script_and_abort_leave_only_cleanup() {
    let driver = Recorder::new().when("get_sources", "echo begun; sleep 30");
    let running = driver.runner.start(&job().after_script(["true"]));
    running.wait_for_output("begun", LONG);
    running.cancel();
    let result = running.join();
    assert_eq!(result.status, JobStatus::Canceled);
    assert_eq!(result.call_names()[3..], ["run get_sources", "cleanup"]);

    let driver = Recorder::new();
    let running =
        driver.runner.start(&job().script(["echo begun; sleep 30"]).after_script(["true"]));
    running.wait_for_output("begun", LONG);
    running.abort();
    let result = running.join();
    assert_eq!(result.status, JobStatus::Canceled);
    assert_eq!(result.call_names()[4..], ["run build_script", "cleanup"]);
}

#[test]
fn the_jobs_timeout_leaves_only_cleanup() {
    let driver = Recorder::new();
    let job = job().script(["sleep 30"]).after_script(["true"]).timeout(Duration::from_secs(5));
    let result = driver.run(&job);
    assert_eq!(verdict(&result), failed(None, FailureReason::JobExecutionTimeout));
    assert_eq!(result.call_names()[4..], ["run build_script", "cleanup"]);
    assert_eq!(driver.env("cleanup", "CUSTOM_ENV_CI_JOB_STATUS").unwrap(), "failed");
    assert!(result.call("build_script").terminated.is_some());
}

#[test]
fn the_scripts_own_timeout_ends_that_stage_only() {
    let job = job()
        .script(["sleep 30"])
        .after_script(["true"])
        .variable("RUNNER_SCRIPT_TIMEOUT", "200ms");
    let result = Recorder::new().run(&job);
    assert_eq!(verdict(&result), failed(None, FailureReason::JobExecutionTimeout));
    assert_eq!(
        result.call_names()[5..],
        ["run after_script", "run cleanup_file_variables", "cleanup"]
    );
}

#[test]
fn who_ignores_term_is_killed() {
    let driver =
        Recorder::new().when("build_script", "trap '' TERM; echo begun; sleep 30; sleep 30");
    let running = driver.runner.start(&job());
    running.wait_for_output("begun", LONG);
    running.cancel();
    let result = running.join();
    let call = result.call("build_script");
    assert_eq!(call.exit, Exit::Signal(9));
    assert!(call.duration >= call.terminated.unwrap() + Duration::from_millis(300));
}

#[test]
fn a_background_child_that_holds_an_output_holds_the_stage() {
    let driver = Recorder::new().when("build_script", "sleep 0.7 & exit 0");
    let result = driver.run(&job());
    assert!(result.call("build_script").duration >= Duration::from_millis(700));
}

#[test]
fn a_killed_runner_leaves_the_driver_behind_and_cleans_nothing() {
    let driver = Recorder::new().when(
        "build_script",
        "echo begun; while [ $PPID != 1 ] && [ -d /proc/$PPID ]; do sleep 0.05; done; touch \"$RECORD/orphan\"; exit 0",
    );
    let runner = driver.runner.clone().own_process();
    let running = runner.start(&job());
    running.wait_for_output("begun", LONG);
    running.kill_runner();
    let result = running.join();
    assert_eq!(result.status, JobStatus::Lost);
    assert_eq!(result.call_names().last().unwrap(), "run build_script");
    assert!(!is_empty(runner.base_dir()), "the runner's TMPDIR stays, as nobody removes it");
    let deadline = Instant::now() + LONG;
    while !driver.path("orphan").exists() {
        assert!(Instant::now() < deadline, "the driver did not outlive its runner");
        std::thread::yield_now();
    }
}
