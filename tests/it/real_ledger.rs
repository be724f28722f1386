//! The ledger beside real jobs: what it tells of one, and that a disk without room costs history and no job.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::real::{Host, assert_says, await_gone, busybox, stderr};

/// A small file system in memory, gone with this value.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn at(path: PathBuf, options: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        let mount = ["-t", "tmpfs", "-o", options, "longshore-test"];
        assert!(Command::new("mount").args(mount).arg(&path).status().unwrap().success());
        Self(path)
    }

    /// Takes all room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        let full = std::iter::repeat_with(|| file.write_all(&[0; 512])).find_map(Result::err);
        assert_eq!(full.unwrap().kind(), std::io::ErrorKind::StorageFull);
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(std::thread::panicking() || unmounted.unwrap().success());
    }
}

fn events(host: &Host) -> Vec<Value> {
    host.ledger().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_job_is_told_from_its_start_to_its_removal() {
    let host = Host::new();
    host.run(&busybox(["true"]).after_script(["true"])).assert_success();
    let all = events(&host);
    let mut names: Vec<&str> = all.iter().map(|event| event["event"].as_str().unwrap()).collect();
    names.dedup();
    assert_eq!(names[..4], ["started", "prepared", "stage", "finished"], "{names:?}");
    assert!(names.contains(&"removing"), "{names:?}");
    let finished = all.iter().find(|event| event["event"] == "finished").unwrap();
    assert_eq!(finished["status"], "success");
}

#[test]
fn a_prepare_that_fails_is_told_with_whose_fault_it_was() {
    let host = Host::new();
    let job = busybox(["true"]).image("longshore-test/noshell:1");
    assert_eq!(host.call(&job, &["prepare"]).status.code(), Some(1));
    let all = events(&host);
    let failed = all.iter().find(|event| event["event"] == "stage").unwrap();
    assert_eq!((&failed["stage"], &failed["outcome"]), (&"prepare".into(), &"job_failure".into()));
    await_gone(&job);
}

#[test]
fn a_full_disk_costs_history_and_no_job() {
    let host = Host::new();
    let state = Tmpfs::at(host.path("state"), "size=64k");
    let ballast = state.fill();
    let job = busybox(["echo done"]);
    host.runner().run(&job).assert_success();
    await_gone(&job);
    let shown = host.bare(&["ledger"]).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    let status = host.bare(&["status"]).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    // With room again it goes on where it was, whatever the last write left behind.
    fs::remove_file(ballast).unwrap();
    let job = busybox(["true"]);
    host.runner().run(&job).assert_success();
    await_gone(&job);
    let of_job = format!("{}-", job.id);
    let mine = |event: &Value| event["job"].as_str().is_some_and(|key| key.starts_with(&of_job));
    let told: Vec<Value> = events(&host).into_iter().filter(mine).collect();
    assert!(told.iter().any(|event| event["event"] == "finished"), "{told:?}");
    assert!(state.0.join("last-use/images").is_dir());
}

#[test]
fn a_run_dir_without_room_fails_the_host_and_says_so() {
    let host = Host::new();
    let run = host.path("run");
    let host = host.top("run_dir", &format!("{:?}", run.display().to_string()));
    let _full = Tmpfs::at(run, "size=64k,nr_inodes=1");
    let job = busybox(["true"]);
    let output = host.call(&job, &["prepare"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_says(&stderr(&output), &["No space left on device", "run_dir"]);
    assert!(host.call(&job, &["cleanup"]).status.success());
    await_gone(&job);
}
