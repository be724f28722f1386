//! Whole jobs: the fake runner drives the real binary on the real daemon, and nothing is left afterwards.

use std::time::Duration;

use crate::support::job_json::FakeJob;
use crate::support::real::{
    Host, assert_says, await_gone, busybox, get, job_container, left_of, stderr,
};
use crate::support::running::{FailureReason, JobResult};

fn assert_script_failure(result: &JobResult, code: i32) {
    let why = (result.failure_reason, result.exit_code);
    assert_eq!(why, (Some(FailureReason::ScriptFailure), Some(code)), "{}", result.trace_text());
}

#[test]
fn a_job_prints_what_its_script_prints_and_succeeds() {
    let result = Host::new().run(&busybox(["echo from the script", "echo on stderr >&2"]));
    result.assert_success();
    assert_says(&result.call("build_script").stdout(), &["from the script\n"]);
    assert_says(&result.call("build_script").stderr(), &["on stderr\n"]);
    assert_eq!(result.call_names()[..3], ["config", "prepare", "run prepare_script"]);
}

#[test]
fn the_scripts_exit_code_reaches_gitlab() {
    let result = Host::new().run(&busybox(["exit 37"]).after_script(["echo afterwards"]));
    assert_script_failure(&result, 37);
    assert_says(&result.call("after_script").stdout(), &["afterwards\n"]);
}

#[test]
fn an_earlier_stages_exit_code_does_not_stay() {
    let host = Host::new();
    let (file, script) = (host.path("build_exit_code"), host.path("script"));
    std::fs::write(&file, "99").unwrap();
    std::fs::write(&script, "true").unwrap();
    // No container: the stage cannot even begin.
    let output = host.call(&busybox(["true"]), &["run", script.to_str().unwrap(), "build_script"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!file.exists());
}

#[test]
fn an_image_with_a_user_of_its_own_runs_as_that_user() {
    let script = [
        "echo \"uid=$(id -u) gid=$(id -g) owner=$(stat -c %u:%g .) home=$HOME\"",
        "touch \"$HOME/writable\" in-project",
    ];
    let result = Host::new().run(&FakeJob::new().image("longshore-test/user:1").script(script));
    result.assert_success();
    let expected = "uid=1000 gid=1000 owner=1000:1000 home=/home/app\n";
    assert_says(&result.call("build_script").stdout(), &[expected]);
}

#[test]
fn an_images_entrypoint_stands_before_the_script_unless_set_aside() {
    let host = Host::new();
    let job = || FakeJob::new().script(["echo \"ran=<$ENTRYPOINT_RAN>\""]);
    let result = host.run(&job().image("longshore-test/entrypoint:1"));
    assert_says(&result.assert_success().trace_text(), &["ran=<yes>\n"]);
    let result = host.run(&job().image_with_entrypoint("longshore-test/entrypoint:1", &[""]));
    assert_says(&result.assert_success().trace_text(), &["ran=<>\n"]);
}

#[test]
fn file_variables_lie_in_memory_and_go_with_the_job() {
    let script = ["stat -f -c 'type=%T' \"$KEY\"", "echo \"key=<$(cat \"$KEY\")>\""];
    let result = Host::new().run(&busybox(script).file("KEY", "line 1\nline 2"));
    assert_says(&result.assert_success().trace_text(), &["type=tmpfs\n", "key=<line 1\nline 2>"]);
}

#[test]
fn only_user_stages_are_told_the_jobs_network() {
    let tell = "echo \"network=<${LONGSHORE_NETWORK-unset}>\"";
    let job = busybox([tell]).after_script([tell]).step("release", [tell]);
    let result = Host::new().run(&job.stage_script("get_sources", &format!("#!/bin/sh\n{tell}\n")));
    result.assert_success();
    for stage in ["build_script", "step_release", "after_script"] {
        assert_says(&result.call(stage).stdout(), &["network=<longshore-test-slot-"]);
    }
    assert_says(&result.call("get_sources").stdout(), &["network=<unset>\n"]);
}

#[test]
fn two_jobs_of_one_id_side_by_side_do_not_meet() {
    let host = Host::new();
    let script = ["echo here >mine", "ls", "echo \"network=$LONGSHORE_NETWORK.\"", "sleep 300"];
    let one = busybox(script);
    let other = busybox(script).id(one.id).project(43, "group/other");
    let running = [host.runner().start(&one), host.runner().start(&other)];
    for job in &running {
        job.wait_for_output("network=longshore", Duration::from_mins(1));
    }
    let containers = left_of(&one).into_iter().filter(|name| name.ends_with("-job")).count();
    assert_eq!(containers, 2);
    let networks = running.map(|job| {
        job.abort();
        let trace = job.join().trace_text();
        let after = trace.rsplit_once("network=").unwrap().1.to_owned();
        after.split_once('.').unwrap().0.to_owned()
    });
    assert_ne!(networks[0], networks[1]);
    await_gone(&one);
}

#[test]
fn cleanup_needs_no_prepare_and_may_come_twice() {
    let (host, job) = (Host::new(), busybox(["true"]));
    for (before, when) in ["before", "after", "again"].into_iter().enumerate() {
        let output = host.call(&job, &["cleanup"]);
        assert!(output.status.success(), "{when}: {}", stderr(&output));
        // Of each round before two, this one's first: a worker late would meet the job that follows.
        await_ledger(&host, r#""left":[]"#, 2 * before + 1);
        host.runner().run(&job).assert_success();
        await_gone(&job);
    }
}

/// Waits until the ledger has this text so many times: the worker goes on after the call.
fn await_ledger(host: &Host, text: &str, times: usize) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while host.ledger().matches(text).count() < times {
        assert!(
            std::time::Instant::now() < deadline,
            "no {times} of {text} in:\n{}",
            host.ledger()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_background_child_does_not_hold_the_stage() {
    let result = Host::new().run(&busybox(["setsid sleep 300 &", "echo left it behind"]));
    result.assert_success();
    let took = result.call("build_script").duration;
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn after_script_sees_no_process_of_the_script_and_the_same_files() {
    let job = busybox(["echo kept >file", "setsid sleep 12345 &", "false"])
        .after_script(["cat file", "ps | grep 1234[5] || echo none runs"]);
    let result = Host::new().run(&job);
    assert_script_failure(&result, 1);
    assert_says(&result.call("after_script").stdout(), &["kept\n", "none runs\n"]);
}

#[test]
fn the_jobs_container_tells_no_value_to_who_inspects_it() {
    let job = busybox(["echo ready", "sleep 300"])
        .masked("PASSWORD", "canary-of-a-masked-variable")
        .file("KEYFILE", "canary-of-a-file")
        .variable("PLAIN", "canary-of-a-variable");
    let host = Host::new();
    let running = host.runner().start(&job);
    running.wait_for_output("\nready", Duration::from_mins(1));
    let shown = get(&format!("/containers/{}/json", job_container(&job))).to_string();
    running.abort();
    running.join();
    await_gone(&job);
    assert_says(&shown, &["longshore.project", &job.project_path]);
    for value in ["canary-of", &job.token] {
        assert!(!shown.contains(value), "{value} in {shown}");
    }
}

#[test]
fn our_own_lines_mask_what_gitlab_masks() {
    let job = FakeJob::new().masked("NAME", "very-secret-name").image("very-secret-name:1");
    let result = Host::new().docker("pull_policy", "[\"never\"]").run(&job);
    assert_says(&result.trace_text(), &["the image [MASKED]:1 is not on this host"]);
    assert!(!result.trace_text().contains("very-secret-name"));
}

#[test]
fn the_ledger_tells_a_jobs_life() {
    let (host, job) = (Host::new(), busybox(["exit 3"]));
    host.run(&job);
    await_ledger(&host, "\"removed\"", 1);
    let id = job.id.to_string();
    let output = host.bare(&["ledger", "--job", &id, "--json"]).output().unwrap();
    let entries: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<String> = entries
        .iter()
        .map(|entry| [&entry["event"], &entry["stage"], &entry["outcome"], &entry["code"]])
        .map(|words| words.into_iter().filter(|word| !word.is_null()).map(ToString::to_string))
        .map(|words| words.collect::<Vec<_>>().join(" ").replace('"', ""))
        .collect();
    assert_eq!(told.first().map(String::as_str), Some("started"));
    let failed = told.iter().position(|words| words == "stage build_script job_failure 3");
    let removing = told.iter().position(|words| words == "removing");
    assert!(failed.is_some() && failed < removing, "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("removed"), "{told:?}");
    let other = host.bare(&["ledger", "--job", "1"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&other.stdout), "nothing of that is in the ledger\n");
}
