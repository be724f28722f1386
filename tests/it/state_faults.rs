//! The host's own files under trouble, by whole commands: a full disk, a ledger that is something else, a queue
//! that is. Each command ends, says which file it is about, and does what it can.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::reap_faults::Full;
use crate::support::real::{BUSYBOX, Host, assert_says, await_gone, busybox, stderr};

/// Runs it with an end: whoever waits on a pipe would wait for ever.
fn ends(host: &Host, words: &[&str]) -> Output {
    let bare = host.bare(words);
    let mut command = Command::new("timeout");
    command.arg("20").arg(bare.get_program()).args(bare.get_args()).env_clear();
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(124), "{words:?} does not end");
    output
}

fn at(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

const ONE: [&str; 4] = ["prune", "--repository", "registry.example/none/such", "--commit"];
const SHA: &str = "0f0f0f0fabcdef0123456789abcdef0123456789";

#[test]
fn without_room_for_locks_a_prune_names_the_file_system() {
    let full = Full::mount();
    let host = Host::new().top("run_dir", &at(full.path()));
    let path = full.path().display().to_string();
    let output = ends(&host, &[&ONE[..], &[SHA]].concat());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = stderr(&output);
    assert_says(&told, &["failed to take the lock", &path, "No space left on device"]);
    assert_eq!(told.matches(&path).count(), 1, "{told}");
    // What only looks needs no lock.
    for words in [&["status"][..], &["ledger"], &["prune", "--plan"]] {
        let output = ends(&host, words);
        assert!(output.status.success(), "{words:?} {output:?}");
    }
}

#[test]
fn a_job_that_cannot_queue_for_want_of_room_names_the_file_system() {
    let full = Full::mount();
    let host = Host::new().top("run_dir", &at(full.path())).table("[admission]\nmax_jobs = 100\n");
    let job = busybox(["true"]);
    let output = host.call(&job, &["prepare"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let queue = full.path().join("queue").display().to_string();
    let hint = "No space left on device (os error 28); make room on its file system";
    assert_says(&stderr(&output), &["failed to queue for a place", &queue, hint]);
    assert!(host.call(&job, &["cleanup"]).status.success());
    await_gone(&job);
}

/// History, order and counters are lost, and nothing else.
#[test]
fn without_room_for_history_the_commands_do_their_work() {
    let full = Full::mount();
    let host = Host::new().in_memory().top("state_dir", &at(full.path()));
    for words in [&[&ONE[..], &[SHA]].concat()[..], &["status"], &["status", "--prometheus"]] {
        let output = ends(&host, words);
        assert!(output.status.success(), "{words:?} {output:?}");
    }
    let page = full.path().join("longshore.prom");
    let words = ["status", "--prometheus", "--output", page.to_str().unwrap()];
    let output = ends(&host, &words);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = format!("failed to write {}: No space left on device", page.display());
    assert_says(&stderr(&output), &[&told]);
}

/// Puts something in the ledger's place.
fn ledger(host: &Host, kind: &str) {
    let path = host.path("state/ledger.jsonl");
    fs::create_dir_all(host.path("state")).unwrap();
    drop(fs::remove_file(&path));
    match kind {
        "truncated" => fs::write(&path, "{\"version\":1,\"time\":\"2026-01-01T00:0").unwrap(),
        "foreign" => fs::write(&path, "{\"version\":99,\"event\":\"pruning\"}\n").unwrap(),
        "dangling" => symlink(host.path("state/elsewhere"), &path).unwrap(),
        "device" => symlink("/dev/zero", &path).unwrap(),
        "directory" => fs::create_dir(&path).unwrap(),
        _ => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
    }
}

const READS: [&[&str]; 4] = [&["ledger"], &["status"], &["prune", "--plan"], &["ledger", "--json"]];

#[test]
fn a_ledger_that_is_torn_or_foreign_is_read_as_far_as_it_goes() {
    let host = Host::new().in_memory();
    for kind in ["truncated", "foreign", "dangling"] {
        ledger(&host, kind);
        for words in READS {
            let output = ends(&host, words);
            assert!(output.status.success(), "{kind} {words:?} {output:?}");
        }
    }
}

#[test]
fn a_ledger_that_is_no_file_is_told_and_fails_no_job() {
    let host = Host::new().in_memory();
    for kind in ["device", "pipe", "directory"] {
        ledger(&host, kind);
        let path = host.path("state/ledger.jsonl").display().to_string();
        for words in READS {
            let output = ends(&host, words);
            assert_eq!(output.status.code(), Some(2), "{kind} {words:?} {output:?}");
            assert_says(&stderr(&output), &["failed to use the ledger", &path, "it is no file"]);
        }
        // Beside what it cannot tell, it tells the rest.
        let shown = ends(&host, &["status"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert_says(&shown, &["jobs       ", "ledger     failed to use the ledger"]);
        let page = ends(&host, &["status", "--prometheus"]);
        let page = String::from_utf8_lossy(&page.stdout).into_owned();
        assert_says(&page, &["longshore_ledger_up 0\n", "longshore_engine_up 1\n"]);
        let job = busybox(["echo fine"]);
        host.runner().run(&job).assert_success();
        await_gone(&job);
        // A delivery cannot plan for later there, and prunes at once.
        let done = ends(&host, &[&ONE[..], &[SHA]].concat());
        assert!(done.status.success(), "{kind} {done:?}");
    }
    fs::remove_dir(host.path("state/ledger.jsonl")).unwrap();
}

/// Files of ours that others than the ledger are, by what is in the place of each.
const PLACES: [&str; 8] = [
    "state/totals.lock",
    "state/totals.json",
    "state/directories/7-00000000",
    "state/last-use/images/sha256:00",
    "run/data-root.json",
    "run/creating/7-00000000",
    "run/removing/7-00000000",
    "run/leases/00",
];

/// A pipe without another end would be waited on for ever.
#[test]
fn pipes_and_directories_in_the_place_of_files_hold_nobody_up() {
    let (pipe, directory) = (["-m", "600"].as_slice(), ["-p"].as_slice());
    for (program, options) in [("mkfifo", pipe), ("mkdir", directory)] {
        let host = Host::new();
        let run = host.path("run");
        let host = host.top("run_dir", &at(&run)).table("[admission]\nmax_jobs = 100\n");
        let image = busybox_id();
        let used = [format!("state/last-use/images/{image}"), "state/last-use/images/x".into()];
        for place in PLACES.iter().copied().chain(used.iter().map(String::as_str)) {
            let path = host.path(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let made = Command::new(program).args(options).arg(&path).status().unwrap();
            assert!(made.success(), "{place}");
        }
        for words in [&["status"][..], &["reap", "--plan"], &["gc", "--plan"]] {
            let output = ends(&host, words);
            assert!(output.status.success(), "{program} {words:?} {output:?}");
        }
        let job = busybox(["echo fine"]);
        host.runner().run(&job).assert_success();
        await_gone(&job);
        host.await_workers();
    }
}

fn busybox_id() -> String {
    let words = ["image", "inspect", "-f", "{{.Id}}", BUSYBOX];
    let output = Command::new("docker").args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What is in the way of a lock is told once, with its path.
#[test]
fn what_is_in_the_place_of_a_lock_is_told() {
    for kind in ["mkfifo", "mkdir"] {
        let host = Host::new();
        let run = host.path("run");
        fs::create_dir_all(run.join("queue")).unwrap();
        let host = host.top("run_dir", &at(&run)).table("[admission]\nmax_jobs = 100\n");
        for lock in ["prune.lock", "queue/lock", "slots.lock"] {
            assert!(Command::new(kind).arg(run.join(lock)).status().unwrap().success());
        }
        let pruned = ends(&host, &[&ONE[..], &[SHA]].concat());
        assert_eq!(pruned.status.code(), Some(2), "{kind} {pruned:?}");
        assert_eq!(stderr(&pruned).matches("prune.lock").count(), 1, "{pruned:?}");
        let job = busybox(["true"]);
        let output = host.call(&job, &["prepare"]);
        assert_eq!(output.status.code(), Some(2), "{kind} {output:?}");
        let queue = run.join("queue").display().to_string();
        assert_says(&stderr(&output), &["failed to queue for a place", &queue]);
        assert!(host.call(&job, &["cleanup"]).status.success());
        await_gone(&job);
    }
}
