//! Jobs that do not run to their end: cancelled, out of time, their runner killed, their prepare failing.

use std::time::{Duration, Instant};

use crate::support::call::{Exit, Stream};
use crate::support::real::{Host, assert_says, await_gone, busybox, left_of, no_other_reap};
use crate::support::running::{FailureReason, JobStatus};

const SOON: Duration = Duration::from_mins(1);

#[test]
fn a_cancelled_script_gets_its_term_and_after_script_the_same_container() {
    let script = [
        "hostname >container",
        "trap 'echo trapped; exit 3' TERM",
        "echo begun",
        "while true; do echo printing; sleep 0.2; done",
    ];
    let after = [
        "echo \"status=$CI_JOB_STATUS\"",
        "test \"$(cat container)\" = \"$(hostname)\"",
        "echo same",
    ];
    let job = busybox(script).after_script(after);
    let host = Host::new();
    let running = host.runner().start(&job);
    running.wait_for_output("\nprinting", SOON);
    running.cancel();
    let result = running.join();
    await_gone(&job);
    assert_eq!(result.status, JobStatus::Canceled);
    assert_says(&result.call("build_script").stdout(), &["\ntrapped\n"]);
    assert_says(&result.call("after_script").stdout(), &["status=canceled\n", "same\n"]);
    let last: Vec<_> = result.call_names().into_iter().rev().take(3).collect();
    assert_eq!(last, ["cleanup", "run cleanup_file_variables", "run after_script"]);
}

#[test]
fn a_silent_job_shows_signs_of_life_and_can_be_cancelled() {
    let job = busybox(["echo begun", "sleep 300"]).after_script(["echo afterwards"]);
    let host = Host::new();
    let running = host.runner().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let silent = Instant::now();
    // The script's wrapper ends its lines with other sequences; this one stands alone in a chunk.
    running.wait_for_output("\n\r\u{1b}[0K", SOON);
    let waited = silent.elapsed();
    running.cancel();
    let result = running.join();
    await_gone(&job);
    assert!(waited > Duration::from_secs(3) && waited < Duration::from_secs(8), "{waited:?}");
    assert_eq!(result.status, JobStatus::Canceled);
    let build = result.call("build_script");
    let after_term = build.duration.saturating_sub(build.terminated.unwrap());
    assert!(after_term < Duration::from_secs(5), "{after_term:?}");
    assert_says(&result.call("after_script").stdout(), &["afterwards\n"]);
}

#[test]
fn a_script_that_ignores_term_is_killed_after_ten_seconds() {
    let job = busybox(["trap '' TERM", "echo begun", "while true; do sleep 1; done"]);
    let host = Host::new();
    let running = host.runner().start(&job);
    running.wait_for_output("\nbegun", SOON);
    running.cancel();
    let result = running.join();
    await_gone(&job);
    let build = result.call("build_script");
    let after_term = build.duration.saturating_sub(build.terminated.unwrap());
    let limits = Duration::from_secs(9)..Duration::from_secs(15);
    assert!(limits.contains(&after_term), "{after_term:?}");
    assert_eq!(result.status, JobStatus::Canceled);
}

#[test]
fn a_job_out_of_time_goes_straight_to_cleanup() {
    let job = busybox(["sleep 300"]).after_script(["echo never"]).timeout(Duration::from_secs(6));
    let result = Host::new().run(&job);
    assert_eq!(result.failure_reason, Some(FailureReason::JobExecutionTimeout));
    let last: Vec<_> = result.call_names().into_iter().rev().take(2).collect();
    assert_eq!(last, ["cleanup", "run build_script"]);
}

#[test]
fn a_stage_out_of_its_own_time_is_followed_by_after_script() {
    let job = busybox(["sleep 300"])
        .variable("RUNNER_SCRIPT_TIMEOUT", "500ms")
        .after_script(["echo afterwards"]);
    let result = Host::new().run(&job);
    assert_eq!(result.status, JobStatus::Failed);
    assert_says(&result.call("after_script").stdout(), &["afterwards\n"]);
}

/// A real runner's own drill: the containers of a job whose runner was killed stayed until the next reap.
#[test]
fn when_the_runner_is_killed_the_driver_ends_the_stage_and_cleans_up_itself() {
    let (host, job) = (Host::new(), busybox(["echo begun", "sleep 300"]));
    let running = host.runner().own_process().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let driver = running.wait_for_call("run build_script", SOON);
    running.kill_runner();
    assert_eq!(running.join().status, JobStatus::Lost);
    await_end(driver);
    await_gone(&job);
}

/// A real runner's own drill: five of five jobs whose runner was killed during prepare left containers.
#[test]
fn when_the_runner_is_killed_during_prepare_nothing_stays() {
    let (host, job) = (Host::new(), busybox(["echo begun"]));
    let running = host.runner().own_process().start(&job);
    let driver = running.wait_for_call("prepare", SOON);
    running.kill_runner();
    assert_eq!(running.join().status, JobStatus::Lost);
    await_end(driver);
    await_gone(&job);
}

#[test]
fn when_runner_and_driver_are_killed_reap_removes_the_rest() {
    let _alone = no_other_reap();
    let (host, job) = (Host::new(), busybox(["echo begun", "sleep 300"]));
    let running = host.runner().own_process().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let driver = running.wait_for_call("run build_script", SOON);
    running.kill_runner_and_driver(driver);
    assert_eq!(running.join().status, JobStatus::Lost);
    await_end(driver);
    assert!(!left_of(&job).is_empty(), "cleanup was never called");
    let plan = host.reap_alone(&["--plan"]);
    let container = format!("would remove container longshore-{}-", job.id);
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert_says(&plan, &[&container]);
    // The second where another host's reap, which has the same `run_dir`, was at it and is ended by now.
    let why = ["its runner is gone", "its job's cleanup was cut short"];
    assert!(why.iter().any(|why| plan.contains(why)), "{plan}");
    assert!(!left_of(&job).is_empty(), "a plan removes nothing");
    let reaped = host.reap_alone(&[]);
    assert!(left_of(&job).is_empty(), "{reaped:?}");
    assert!(reaped.status.success(), "{reaped:?}");
}

/// Waits until a process that is not our child has ended.
fn await_end(pid: i32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let stat = format!("/proc/{pid}/stat");
    // Its new parent may be slow to collect it: a zombie has ended.
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < deadline, "the driver {pid} goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_prepare_that_fails_is_tried_three_times_with_cleanup_between() {
    // Nobody listens there: a system failure, which may pass.
    let host = Host::new().docker("host", "\"unix:///run/longshore-test-nobody.sock\"");
    let result = host.run(&busybox(["true"]));
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    let one = ["config", "prepare", "cleanup"];
    assert_eq!(result.call_names(), [one, one, one].concat());
    assert!(
        result
            .calls
            .iter()
            .filter(|call| call.call == "prepare")
            .all(|call| call.exit == Exit::Code(2))
    );
    assert!(result.call("prepare").chunks.iter().any(|chunk| chunk.stream == Stream::Stderr));
}

#[test]
fn a_cancel_in_the_middle_of_prepare_leaves_nothing() {
    let host = Host::new();
    let mut jobs = Vec::new();
    for pause in [0, 20, 40, 80, 160] {
        let job = busybox(["true"]).sources("git://127.0.0.1:1/none.git", &"0".repeat(40));
        let running = host.runner().start(&job);
        running.wait_for_call("prepare", SOON);
        // Not to wait for anything: to meet it at another point each time.
        std::thread::sleep(Duration::from_millis(pause));
        running.cancel();
        let result = running.join();
        assert_ne!(result.status, JobStatus::Success);
        await_gone(&job);
        jobs.push(job);
    }
    // What a killed driver had asked for came only after cleanup had looked.
    for job in &jobs {
        assert_eq!(left_of(job), Vec::<String>::new());
    }
}
