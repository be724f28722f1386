//! Many jobs at once, and calls of one job at once.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use longshore::stage::agent_volume;

use crate::support::call::Exit;
use crate::support::fake_runner::FakeRunner;
use crate::support::job_json::FakeJob;
use crate::support::left::Left;
use crate::support::real::{
    BINARY, Host, assert_says, await_gone, busybox, docker_host, get, job_container, left_of,
    stderr,
};
use crate::support::running::{FailureReason, JobResult, RunningJob};

const SOON: Duration = Duration::from_mins(2);
const AT_ONCE: usize = 20;

/// Waits in the project's cache, which all of them share, until all are there: no job ends before the last
/// one has begun. Where one of them could not begin, the others give up.
const MEET: &str = "mkdir -p /cache/group/crowd; touch /cache/group/crowd/\"$CI_JOB_ID\"; \
    looks=0; while [ \"$(ls /cache/group/crowd | grep -c '^[0-9]*$')\" -lt 20 ]; do \
    looks=$((looks + 1)); [ \"$looks\" -lt 600 ] || exit 9; sleep 0.2; done";

/// A project of the test's own on networks of its own. What stays from job to job goes with this value.
struct Crowd {
    project: u64,
    slots: String,
}

impl Crowd {
    fn new() -> Self {
        let project = FakeJob::new().id;
        Self { project, slots: format!("longshore-test-crowd-{project}-") }
    }

    fn host(&self) -> Host {
        let helper = "\"longshore-test/busybox:1\"";
        Host::new()
            .docker("helper_image", helper)
            .docker("slot_prefix", &format!("{:?}", self.slots))
    }

    fn job(&self) -> FakeJob {
        crowd(self.project)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let cache = format!("longshore-cache-{}-", self.project);
        let volumes = get("/volumes")["Volumes"].as_array().cloned().unwrap_or_default();
        let networks = get("/networks").as_array().cloned().unwrap_or_default();
        let (volumes, networks) = (volumes.into_iter(), networks.into_iter());
        let all = volumes.map(|one| ("volume", one)).chain(networks.map(|one| ("network", one)));
        for (kind, one) in all {
            let name = one["Name"].as_str().unwrap_or_default();
            if name.starts_with(&cache) || name.starts_with(&self.slots) {
                let words = ["-H", &docker_host(), kind, "rm", name];
                let _ = Command::new("docker").args(words).output();
            }
        }
    }
}

fn crowd(project: u64) -> FakeJob {
    let lines = "for n in 1 2 3 4 5 6 7 8 9; do echo \"line $n of $CI_JOB_ID\"; done";
    busybox([
        "echo $CI_JOB_ID >mine",
        MEET,
        "echo \"host=$(hostname)\"; echo \"network=$LONGSHORE_NETWORK\"",
        lines,
        "cat mine",
        "test \"$(cat mine)\" = \"$CI_JOB_ID\"",
    ])
    .project(project, "group/crowd")
    .cache("key", &["mine"])
    .stage_script("restore_cache", "true\n")
    .stage_script("archive_cache", "true\n")
}

fn told<'a>(result: &'a str, name: &str) -> &'a str {
    let line = result.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {result}"))
}

#[test]
fn twenty_jobs_of_one_project_and_ref_share_nothing_but_the_cache() {
    let crowd = Crowd::new();
    let host = crowd.host();
    let jobs: Vec<FakeJob> = (0..AT_ONCE).map(|_| crowd.job()).collect();
    let runner = host.runner();
    let running: Vec<_> = jobs.iter().map(|job| runner.start(job)).collect();
    let results: Vec<JobResult> = running.into_iter().map(RunningJob::join).collect();
    jobs.iter().for_each(await_gone);
    // Those that waited in vain for it would be told first.
    let begun = |one: &&JobResult| one.call_names().contains(&"run build_script".to_owned());
    results.iter().filter(|one| !begun(one)).map(JobResult::assert_success).for_each(drop);
    let outputs: Vec<String> =
        results.iter().map(|one| one.assert_success().call("build_script").stdout()).collect();
    for (job, output) in jobs.iter().zip(&outputs) {
        let own: Vec<String> = (1..10).map(|n| format!("line {n} of {}", job.id)).collect();
        let lines: Vec<&str> = output.lines().filter(|line| line.starts_with("line ")).collect();
        assert_eq!(lines, own, "{output}");
    }
    for name in ["host=", "network="] {
        let names: BTreeSet<&str> = outputs.iter().map(|output| told(output, name)).collect();
        assert_eq!(names.len(), AT_ONCE, "{name} {names:?}");
    }
    assert_eq!(std::fs::read_dir(runner.base_dir()).unwrap().count(), 0);
}

#[test]
fn two_cleanups_at_once_both_succeed_and_leave_nothing() {
    let (host, job) = (Host::new(), busybox(["true"]));
    let prepared = host.call(&job, &["prepare"]);
    assert!(prepared.status.success(), "{}", stderr(&prepared));
    assert!(!left_of(&job).is_empty());
    let mut first = host.command(&job, &["cleanup"]);
    let mut second = host.command(&job, &["cleanup"]);
    let both = [&mut first, &mut second]
        .map(|one| one.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    for one in both {
        let output = one.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
    }
    await_gone(&job);
}

#[test]
fn a_cleanup_before_prepare_is_fine_and_spoils_nothing() {
    let (host, job) = (Host::new(), busybox(["echo ran"]));
    let output = host.call(&job, &["cleanup"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_says(&host.run(&job).assert_success().trace_text(), &["ran\n"]);
}

/// The runner waits five minutes at most for a cancelled stage, then calls cleanup beside it.
#[test]
fn a_cleanup_during_a_stage_ends_the_stage_as_the_runners_failure() {
    let (host, job) = (Host::new(), busybox(["echo begun", "sleep 300"]));
    let running = host.runner().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let container = job_container(&job);
    let output = host.call(&job, &["cleanup"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let result = running.join();
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    assert_eq!(result.call("build_script").exit, Exit::Code(2));
    assert_says(&result.trace_text(), &["ERROR: longshore: "]);
    await_gone(&job);
    assert!(!result.trace_text().contains("panicked"), "{container}: {}", result.trace_text());
}

/// What vanishes then must not be taken for an accident and made again.
#[test]
fn a_cleanup_beside_a_stage_that_does_not_end_makes_nothing_again() {
    let script = ["trap 'echo stays' TERM", "echo begun", "while true; do sleep 0.1 || true; done"];
    let (host, job) = (Host::new(), busybox(script));
    let job = job.variable("EXECUTOR_JOB_SECTION_ATTEMPTS", "3");
    let running = host.runner().start(&job);
    running.wait_for_output("\nbegun", SOON);
    running.abort();
    running.wait_for_output("\nstays", SOON);
    let output = host.call(&job, &["cleanup"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let result = running.join();
    await_gone(&job);
    assert_eq!(result.call("build_script").exit, Exit::Code(2), "{}", result.trace_text());
    assert!(!result.trace_text().contains("making all of them again"), "{}", result.trace_text());
}

#[test]
fn two_prepares_of_one_job_do_not_leave_two_of_anything() {
    let (host, job) = (Host::new(), busybox(["true"]));
    let (one, other) = thread::scope(|scope| {
        let calls =
            [1, 2].map(|_| scope.spawn(|| host.command(&job, &["prepare"]).output().unwrap()));
        let [one, other] = calls.map(|call| call.join().unwrap());
        (one, other)
    });
    let codes = [one.status.code(), other.status.code()];
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 2))), "{codes:?}");
    assert!(host.call(&job, &["cleanup"]).status.success());
    await_gone(&job);
}

/// Whoever filled it beside another took the binary away for as long as the upload took, and a job that was about
/// to start with it did not.
#[test]
fn first_jobs_of_several_runners_fill_one_agent_volume_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let binary = directory.path().join("longshore");
    // By a process of its own: what another test forks meanwhile would hold a file of ours open for writing.
    assert!(Command::new("cp").arg(BINARY).arg(&binary).status().unwrap().success());
    let _volume = Left::found("volume", agent_volume::name(&binary).unwrap());
    let first = || {
        let (host, job) = (Host::new().in_memory(), busybox(["true"]));
        let words = [OsString::from("--settings"), host.settings().into_os_string()];
        let result = FakeRunner::new(&binary).arguments(words).clear_env().run(&job);
        await_gone(&job);
        assert_eq!(result.calls.iter().filter(|call| call.call == "prepare").count(), 1);
        result.assert_success();
    };
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(first);
        }
    });
}
