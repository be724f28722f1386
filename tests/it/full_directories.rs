//! `gc` and `reap` where `run_dir` or `state_dir` has neither a byte nor a file left: what can be freed is freed,
//! and what could not be locked or written down is told with its place.

use std::process::Output;

use crate::reap_faults::Full;
use crate::support::left::Left;
use crate::support::private_engine::Daemon;
use crate::support::real::{BUSYBOX, Host, assert_says, stderr};

const FULL: &str = "No space left on device";
const VOLUME: &str = "longshore-cache-1-x-protected";
const GC: &str =
    "[gc]\nmin_age = \"0s\"\nimages = 1\ncache_volumes = 0\nkeep = [\"longshore-test/**\"]\n";

/// What a collection is to take, and what a reap is.
struct Ground {
    daemon: Daemon,
    full: Full,
    dead: Vec<Left>,
}

impl Ground {
    fn new() -> Self {
        let daemon = Daemon::in_memory("size=256m", &[]);
        daemon.docker_with(&["import", "-", "old:1"], &[0; 1024]);
        daemon.docker_with(&["import", "-", "old:2"], &[0; 2048]);
        daemon.docker(&["volume", "create", "--label", "longshore.kind=cache", VOLUME]);
        let fill = format!("{VOLUME}:/v");
        daemon.docker(&["run", "--rm", "-v", &fill, BUSYBOX, "sh", "-c", "echo x > /v/file"]);
        let name = |kind: &str| format!("longshore-7-00000000-{kind}");
        let dead = [("container", "job"), ("volume", "builds")];
        let left = |(kind, word)| Left::on(daemon.host(), kind, &name(word), word);
        let dead = dead.map(left).into();
        Self { daemon, full: Full::mount(), dead }
    }

    /// With these of its directories full, the others empty.
    fn host(&self, full: &[&'static str]) -> Host {
        let host = Host::new().in_memory().docker("host", &format!("{:?}", self.daemon.host()));
        let path = format!("{:?}", self.full.path().display().to_string());
        full.iter().fold(host.table(GC), |host, key| host.top(key, &path))
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        let names = self.daemon.docker(&[kind, "ls", "--format", "{{json .}}"]);
        names.contains(&format!("\"{name}\""))
    }

    fn left(&self) -> (bool, bool, usize) {
        let dead = self.dead.iter().filter(|one| one.is_there()).count();
        (self.has("image", "old"), self.has("volume", VOLUME), dead)
    }
}

fn call(host: &Host, word: &str) -> Output {
    host.bare(&[word]).output().unwrap()
}

/// History is lost, and nothing else.
#[test]
fn a_full_state_dir_keeps_nothing_from_going() {
    let ground = Ground::new();
    let host = ground.host(&["state_dir"]);
    let ledger = ground.full.path().join("ledger.jsonl").display().to_string();
    for (word, left) in [("reap", (true, true, 0)), ("gc", (false, false, 0))] {
        let done = call(&host, word);
        assert_eq!(ground.left(), left, "{word} {done:?}");
        assert_eq!(done.status.code(), Some(2), "{word} {done:?}");
        assert_says(&stderr(&done), &[&ledger, FULL]);
    }
}

/// An image goes with its lock only: a job might be about to use it.
#[test]
fn a_full_run_dir_keeps_images_alone() {
    for full in [&["run_dir"][..], &["run_dir", "state_dir"]] {
        let ground = Ground::new();
        let host = ground.host(full);
        let path = ground.full.path().display().to_string();
        let reaped = call(&host, "reap");
        assert_eq!(ground.left(), (true, true, 0), "{full:?} {reaped:?}");
        assert_says(&stderr(&reaped), &["failed to lock", &path, FULL]);
        let collected = call(&host, "gc");
        assert_eq!(ground.left(), (true, false, 0), "{full:?} {collected:?}");
        assert_eq!(collected.status.code(), Some(2), "{full:?} {collected:?}");
        let told = stderr(&collected);
        assert_says(&told, &["lock image old:", &format!("{path}/gc.lock"), FULL]);
        // Told once, and not for each of them.
        assert_eq!(told.matches("lock image").count(), 1, "{told}");
        // Once there is room it goes on.
        ground.full.empty();
        let next = call(&host, "gc");
        assert!(next.status.success(), "{full:?} {next:?}");
        assert_eq!(ground.left(), (false, false, 0), "{full:?} {next:?}");
    }
}
