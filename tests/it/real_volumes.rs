//! The operator's extra volumes, and volumes without room: whole jobs on the real daemon.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::job_json::{FakeJob, image_value};
use crate::support::names::unique;
use crate::support::real::{Host, assert_says, await_gone, busybox, get};
use crate::support::running::FailureReason;

const USER: &str = "longshore-test/user:1";

fn docker(words: &[&str]) {
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// A volume that is gone with this value.
struct OwnVolume(String);

impl OwnVolume {
    fn make(options: &[&str]) -> Self {
        let volume = Self(unique());
        docker(&[&["volume", "create"], options, &[volume.0.as_str()]].concat());
        volume
    }
}

impl Drop for OwnVolume {
    fn drop(&mut self) {
        let _removed = Command::new("docker").args(["volume", "rm", "--force", &self.0]).output();
    }
}

#[test]
fn paths_and_volumes_of_the_operator_are_in_all_containers_of_a_job() {
    let shared = OwnVolume::make(&[]);
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(directory.path().join("told"), "by the host\n").unwrap();
    let path = directory.path().display();
    let host =
        Host::new().docker("volumes", &format!("[\"{path}:/told:ro\", \"{}:/shared\"]", shared.0));
    let mut service = image_value("longshore-test/busybox:1");
    service["entrypoint"] = json!(["sh", "-c", "cat /told/told >/shared/of-service; sleep 60"]);
    let awaited = "until [ -s /shared/of-service ]; do sleep 0.1; done; cat /shared/of-service";
    let job = busybox([awaited, "! touch /told/x", "echo $CI_JOB_ID >/shared/of-job"])
        .service_value(service)
        .cache("k", &["a"]);
    let trace = host.run(&job).assert_success().trace_text();
    assert_says(&trace, &["by the host\n", "Read-only file system"]);
    let next = busybox([format!("test $(cat /shared/of-job) = {}", job.id)]);
    let trace = host.run(&next).assert_success().trace_text();
    assert!(!trace.contains("of this host"), "nothing can be changed: {trace}");
}

#[test]
fn a_path_that_jobs_can_change_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let rule = format!("[[project]]\nprojects = [\"**\"]\nvolumes = [\"{path}:/out\"]\n");
    let result = Host::new().table(&rule).run(&busybox(["echo made >/out/file"]));
    let told = format!("longshore: this job can change {path} of this host, at /out");
    assert_says(&result.assert_success().trace_text(), &[&told]);
    assert_eq!(std::fs::read_to_string(directory.path().join("file")).unwrap(), "made\n");
}

#[test]
fn a_place_alone_is_kept_for_the_project_and_belongs_to_the_jobs_user() {
    let (kept, other) = (unique(), unique());
    let host = Host::new().docker("volumes", "[\"/certs/client\"]");
    let job = |project: &str, line: &str| {
        FakeJob::new().image(USER).project(991, &format!("group/{project}")).script([line])
    };
    host.run(&job(&kept, "stat -c %u:%g /certs/client; echo x >/certs/client/key"))
        .assert_success();
    let next = host.run(&job(&kept, "cat /certs/client/key; ls -ln /certs"));
    assert_says(&next.assert_success().call("build_script").stdout(), &["x\n", " 1000 "]);
    let volumes = get(&format!(
        "/volumes?filters=%7B%22label%22%3A%5B%22longshore.cache%3Dgroup%2F{kept}%22%5D%7D"
    ));
    let names: Vec<&str> = volumes["Volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| volume["Name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 1, "one for both jobs: {volumes}");
    docker(&["volume", "rm", names[0]]);
    let foreign = job(&other, "test ! -e /certs/client/key").project(992, &format!("g/{other}"));
    host.run(&foreign).assert_success();
    let filter = format!("label=longshore.cache=g/{other}");
    let listed = Command::new("docker").args(["volume", "ls", "-q", "--filter", &filter]).output();
    docker(&["volume", "rm", String::from_utf8(listed.unwrap().stdout).unwrap().trim()]);
}

/// The name of one of a job's own volumes.
fn volume_of(host: &Host, job: &FakeJob, what: &str) -> String {
    let planned = host.call(job, &["plan"]);
    let plan: Value = serde_json::from_slice(&planned.stdout).unwrap();
    format!("longshore-{}-{what}", plan["key"].as_str().unwrap())
}

#[test]
fn a_job_that_fills_its_volume_is_told_so_in_one_line() {
    let host = Host::new();
    let job = busybox(["dd if=/dev/zero of=fill bs=1M count=20"]);
    let builds = volume_of(&host, &job, "builds");
    let small = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=8m"];
    docker(&[&["volume", "create"], &small[..], &[builds.as_str()]].concat());
    let result = host.runner().run(&job);
    await_gone(&job);
    let trace = result.trace_text();
    let told =
        "longshore: the disk of this runner is full: 0 B free of 8.0 MiB at /builds\n  write less";
    assert_eq!(trace.matches(told).count(), 1, "{trace}");
    assert_eq!(result.failure_reason, Some(FailureReason::ScriptFailure));
    assert_eq!(result.exit_code, Some(1));
}

#[test]
fn a_volume_that_was_full_before_is_no_fault_of_the_job() {
    let host = Host::new();
    let job = busybox(["echo more >>fill"])
        .stage_script("get_sources", "#!/bin/sh\ncat /dev/zero >/builds/fill 2>/dev/null\ntrue\n");
    let builds = volume_of(&host, &job, "builds");
    let small = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=8m"];
    docker(&[&["volume", "create"], &small[..], &[builds.as_str()]].concat());
    let result = host.runner().run(&job);
    await_gone(&job);
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    assert_says(&result.trace_text(), &["on a disk that was full before it began"]);
}
