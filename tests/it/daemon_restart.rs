//! The daemon is killed and started again while a stage runs, on an engine of the test's own: with
//! live-restore the stage goes on without a gap, without it the job is told what happened.

use std::time::Duration;

use crate::support::call::Exit;
use crate::support::private_engine::Daemon;
use crate::support::real::{Host, assert_says, await_gone_from, busybox};
use crate::support::running::FailureReason;

const SOON: Duration = Duration::from_mins(1);

fn host(daemon: &Daemon) -> Host {
    Host::new().docker("host", &format!("{:?}", daemon.host()))
}

#[test]
fn with_live_restore_a_stage_outlives_its_daemon_without_a_gap() {
    let daemon = Daemon::start(&["--live-restore"]);
    let host = host(&daemon);
    let ticks = "for tick in $(seq 1 100); do echo \"tick $tick\"; sleep 0.1; done; echo over";
    let job = busybox(["true"])
        .stage_script("build_script", &format!("#!/bin/sh\n{ticks}\n"))
        .after_script(["echo afterwards"]);
    let running = host.runner().start(&job);
    running.wait_for_output("tick 10\n", SOON);
    daemon.kill();
    daemon.again();
    let result = running.join();
    result.assert_success();
    let expected: Vec<String> = (1..=100).map(|tick| format!("tick {tick}")).collect();
    let told = result.call("build_script").stdout().replace("\r\u{1b}[0K", "");
    let (told, _used) = told.rsplit_once("longshore: used ").unwrap();
    assert_eq!(told.lines().collect::<Vec<_>>(), [&expected[..], &["over".into()]].concat());
    assert_says(&result.call("after_script").stdout(), &["afterwards\n"]);
    // Docker 20.10 miscounts, over a live-restore, the mounts of a volume with options (the tmpfs), and
    // calls it in use until it is started again; then a further cleanup finds it.
    daemon.kill();
    daemon.again();
    assert!(host.call(&job, &["cleanup"]).status.success());
    await_gone_from(&daemon.socket, &job);
}

#[test]
fn without_live_restore_the_job_is_told_that_its_container_ended() {
    let daemon = Daemon::start(&[]);
    let host = host(&daemon);
    let job = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().start(&job);
    running.wait_for_output("\nbegun", SOON);
    daemon.kill();
    daemon.again();
    let result = running.join();
    await_gone_from(&daemon.socket, &job);
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    assert_eq!(result.call("build_script").exit, Exit::Code(2));
    let told = ["ended during the stage", "the daemon was restarted without live-restore"];
    assert_says(&result.trace_text(), &told);
}
