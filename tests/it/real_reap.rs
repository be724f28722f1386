//! `longshore reap` on the real daemon: what it takes of dead jobs, and what it leaves.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::support::job_json::FakeJob;
use crate::support::left::{DEAD, Left, docker};
use crate::support::names::unique;
use crate::support::real::{
    BINARY, Host, assert_says, await_gone, busybox, docker_host, job_container, left_of,
    no_other_reap,
};
use crate::support::running::JobStatus;
use crate::support::waiting::await_that;

const SOON: Duration = Duration::from_mins(1);

/// Answers the report; what other tests left at the same time may fail to go.
fn reap(host: &Host) -> Value {
    report(&host.reap(&["--json"]))
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_reap_in_another_pid_namespace_beside_a_live_job_removes_nothing() {
    let host = Host::new().in_memory();
    let job = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().own_process().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let before = left(&job);
    let _alone = no_other_reap();
    let elsewhere = || {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", BINARY, "--settings"]);
        command.arg(host.settings()).args(["reap", "--json"]);
        text(&command.output().unwrap())
    };
    let told = elsewhere();
    assert!(!told.contains(&job.id.to_string()), "{told}");
    assert_eq!(left(&job), before);
    let driver = running.wait_for_call("run build_script", SOON);
    running.kill_runner_and_driver(driver);
    assert_eq!(running.join().status, JobStatus::Lost);
    // Nobody can see from there that the runner is gone: the deadline decides.
    let told = elsewhere();
    assert!(!told.contains(&job.id.to_string()), "{told}");
    assert_eq!(left(&job), before);
    host.reap_alone(&[]);
    assert_eq!(left_of(&job), Vec::<String>::new());
}

fn left(job: &FakeJob) -> BTreeSet<String> {
    left_of(job).into_iter().collect()
}

/// An idle slot of this host alone: no other test's reap takes it.
fn spare_slot(host: Host) -> (Host, Left) {
    let prefix = format!("{}-slot-", unique());
    let slot = Left::make("network", &format!("{prefix}7"), &["longshore.kind=slot"]);
    (host.docker("slot_prefix", &format!("{prefix:?}")), slot)
}

#[test]
fn the_second_of_two_reaps_leaves_it_to_the_first() {
    let (host, slot) = spare_slot(Host::new().in_memory());
    let lock = File::create(host.run_dir().join("reap.lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let second = host.reap(&[]);
    assert!(second.status.success(), "{second:?}");
    assert_says(&text(&second), &["another reap is at work on this host"]);
    assert_eq!(reap(&host), serde_json::json!({"busy": true}));
    assert_says(&text(&host.reap(&["--plan"])), &[&format!("would remove network {}", slot.name)]);
    assert!(slot.is_there());
    // Dropped, it would go on in processes that other tests have just forked.
    flock(&lock, FlockOperation::Unlock).unwrap();
    reap(&host);
    assert!(!slot.is_there());
}

#[test]
fn a_job_starts_a_reap_when_the_last_one_is_long_ago() {
    let (host, slot) = spare_slot(Host::new().in_memory().top("reap_interval", "\"5m\""));
    let _of_its_jobs = Left::found("network", slot.name.replace("-slot-7", "-slot-0"));
    host.run(&busybox(["true"])).assert_success();
    await_that("a reap", || !slot.is_there());
    await_that("its line", || host.ledger().contains(&slot.name));
    let (stamp, lock) = (host.run_dir().join("reap.stamp"), host.run_dir().join("reap.lock"));
    let modified = || fs::metadata(&stamp).unwrap().modified().unwrap();
    let first = modified();
    host.run(&busybox(["true"])).assert_success();
    assert_eq!(modified(), first, "not again within five minutes");
    let ago = SystemTime::now() - Duration::from_mins(6);
    File::options().write(true).open(&stamp).unwrap().set_modified(ago).unwrap();
    host.run(&busybox(["true"])).assert_success();
    assert!(modified() >= first);
    // Its end: nobody holds the lock any more.
    await_that("the end of the reap", || {
        let lock = File::options().write(true).open(&lock).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
    });
}

#[test]
fn what_a_dead_jobs_script_made_goes_and_what_is_not_ours_is_told_and_stays() {
    let host = Host::new();
    let own = unique();
    let made = ["container", "network", "volume"]
        .map(|kind| Left::by_dead_job(kind, &format!("{own}-{kind}"), "brokered"));
    let foreign = Left::make("container", &format!("{own}-foreign"), &["somebodys=1"]);
    // Whoever commits a job's container has its labels in the image.
    let image = format!("{own}:1");
    let labels = DEAD.map(|label| format!("LABEL {label}"));
    let changes = labels.iter().flat_map(|label| ["--change", label.as_str()]);
    let words = ["--change", "LABEL longshore.kind=brokered", "/dev/null", &image];
    docker(&docker_host(), &["import"].into_iter().chain(changes).chain(words).collect::<Vec<_>>());
    let heir = format!("{own}-heir");
    docker(&docker_host(), &["container", "create", "--name", &heir, &image, "true"]);
    let heir = Left::found("container", heir);
    let report = reap(&host);
    let gone = made.iter().map(Left::is_there).collect::<Vec<_>>();
    let stayed = (foreign.is_there(), heir.is_there());
    drop(heir);
    docker(&docker_host(), &["image", "rm", &image]);
    assert_eq!((gone, stayed), (vec![false; 3], (true, true)), "{report}");
    let others = report["others"].as_array().unwrap();
    for name in ["foreign", "heir"] {
        assert!(others.contains(&format!("{own}-{name}").into()), "{report}");
    }
    let told = text(&host.reap(&[]));
    assert_says(
        &told,
        &["not longshore's, and left alone: ", "cannot be told from the host's own"],
    );
}

/// The directory that the fake runner made for its job, with all variables in it.
fn directory_of(runner: &Path) -> std::path::PathBuf {
    fs::read_dir(runner).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn the_directory_of_a_killed_runner_goes_and_that_of_a_live_one_stays() {
    let host = Host::new().in_memory();
    let start = |job: &FakeJob| {
        let runner = host.runner().own_process();
        let running = runner.start(job);
        running.wait_for_output("\nbegun", SOON);
        (directory_of(runner.base_dir()), runner, running)
    };
    let jobs = [busybox(["echo begun", "sleep 300"]), busybox(["echo begun", "sleep 300"])];
    let (dead, _dead_runner, killed) = start(&jobs[0]);
    let (live, _live_runner, running) = start(&jobs[1]);
    let driver = killed.wait_for_call("run build_script", SOON);
    killed.kill_runner_and_driver(driver);
    assert_eq!(killed.join().status, JobStatus::Lost);
    // Another that has taken its path is not the one that was noted.
    let aside = dead.with_extension("aside");
    fs::rename(&dead, &aside).unwrap();
    fs::create_dir(&dead).unwrap();
    reap(&host);
    assert!(dead.exists() && aside.exists() && live.join("response.json").exists());
    fs::remove_dir(&dead).unwrap();
    assert_eq!(left_of(&jobs[0]), Vec::<String>::new());
    assert!(!left_of(&jobs[1]).is_empty());
    running.cancel();
    assert_eq!(running.join().status, JobStatus::Canceled);
    await_gone(&jobs[1]);
}

/// A runner's service may have a `/tmp` of its own, which the service of the timer does not see.
#[test]
fn the_directory_of_a_killed_runner_waits_for_a_reap_that_sees_it() {
    let host = Host::new().in_memory();
    let runner = host.runner().own_process();
    let running = runner.start(&busybox(["echo begun", "sleep 300"]));
    running.wait_for_output("\nbegun", SOON);
    let dead = directory_of(runner.base_dir());
    let driver = running.wait_for_call("run build_script", SOON);
    running.kill_runner_and_driver(driver);
    assert_eq!(running.join().status, JobStatus::Lost);
    let mut elsewhere = Command::new("unshare");
    let script = "mount -t tmpfs tmpfs \"$1\" && shift && exec \"$@\"";
    elsewhere.args(["--mount", "sh", "-c", script, "sh"]).arg(runner.base_dir());
    elsewhere.args([BINARY, "--settings"]).arg(host.settings()).args(["reap", "--json"]);
    let told = report(&elsewhere.output().unwrap());
    assert_eq!(told["directories"], serde_json::json!([]), "{told}");
    assert!(dead.exists());
    let told = reap(&host);
    assert_eq!(told["directories"][0]["path"], dead.display().to_string(), "{told}");
    assert!(!dead.exists());
    assert_eq!(fs::read_dir(host.path("state/directories")).unwrap().count(), 0);
}

/// A worker that is killed leaves the rest of its job to the next reap, though the runner lives.
#[test]
fn a_cleanup_that_was_cut_short_is_finished() {
    let host = Host::new().in_memory();
    let job = busybox(["true"]);
    let prepared = host.call(&job, &["prepare"]);
    assert!(prepared.status.success(), "{prepared:?}");
    let name = job_container(&job);
    let key = name.trim_start_matches("longshore-").trim_end_matches("-job").to_owned();
    // What `cleanup` leaves where its worker is killed at once.
    let removing = host.run_dir().join("removing");
    fs::create_dir_all(&removing).unwrap();
    fs::write(removing.join(&key), "").unwrap();
    let plan = text(&host.reap(&["--plan"]));
    assert_says(
        &plan,
        &[&format!("would remove container {name}: its job's cleanup was cut short")],
    );
    reap(&host);
    assert_eq!(left_of(&job), Vec::<String>::new());
    assert!(!removing.join(&key).exists());
    assert_says(&host.ledger(), &["\"event\":\"removed\"", "\"event\":\"reaped\""]);
}
