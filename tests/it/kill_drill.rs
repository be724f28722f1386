//! The drill: SIGKILL to driver and runner before and after each request that a job's calls make of the
//! daemon and of Vault, and one `reap` afterwards: nothing of the job is left.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use longshore::stage::agent_volume;

use crate::support::drill::{Course, Drill, LEASED, LOGIN_LINE, REVOKE_LINE, UNLEASED, job, sweep};
use crate::support::fake_vault::Reply;
use crate::support::kill_points::{Point, Side};
use crate::support::names::unique;
use crate::support::real::{BINARY, BUSYBOX, Host, busybox, docker_host, socket};

/// Enough to keep both cores busy, and few enough for the daemon's networks.
const AT_ONCE: usize = 4;

/// The job on the shared daemon.
fn drill(secret: fn() -> Reply) -> Drill {
    Drill::new(Course { job: job(), daemon: &socket(), secret })
}

/// Sweeps these points of the job.
fn swept(points: &[Point], secret: fn() -> Reply) -> BTreeSet<Point> {
    let once = |point: &Point, side: Side| drop(drill(secret).killed(point, side));
    sweep(points, vec![once; AT_ONCE])
}

/// Fills the agent volume and keeps it in use, so that no reap of another version's takes it meanwhile.
struct Filled {
    container: String,
}

impl Filled {
    fn new() -> Self {
        Host::new().run(&busybox(["true"])).assert_success();
        let container = unique();
        let volume = agent_volume::name(Path::new(BINARY)).unwrap();
        let mount = format!("{volume}:/agent");
        docker(&["create", "--name", &container, "--volume", &mount, BUSYBOX, "true"]);
        Self { container }
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        docker(&["rm", &self.container]);
    }
}

fn docker(words: &[&str]) {
    let output = Command::new("docker").args(["-H", &docker_host()]).args(words).output().unwrap();
    assert!(output.status.success() || std::thread::panicking(), "{words:?}: {output:?}");
}

/// The calls that speak to a server at all; `config` and `cleanup` have nobody to be killed at.
fn calls(points: &[Point]) -> BTreeSet<&str> {
    points.iter().map(|point| point.call.as_str()).collect()
}

#[test]
fn whoever_is_killed_at_any_request_one_reap_leaves_nothing() {
    let _filled = Filled::new();
    let points = drill(|| LEASED).undisturbed();
    let expected = [
        "prepare",
        "run archive_cache",
        "run build_script",
        "run cleanup_file_variables",
        "run get_sources",
        "run prepare_script",
        "run restore_cache",
        "worker",
    ];
    assert_eq!(calls(&points), expected.into(), "{points:?}");
    for request in [LOGIN_LINE, "GET /v1/kv/app", REVOKE_LINE, "POST /v1./containers/create"] {
        assert!(points.iter().any(|point| point.request == request), "{request}: {points:?}");
    }
    assert_eq!(swept(&points, || LEASED), points.into_iter().collect());
}

#[test]
fn whoever_is_killed_at_any_request_to_vault_one_reap_ends_the_token() {
    let _filled = Filled::new();
    let points = drill(|| UNLEASED).undisturbed();
    let points: Vec<Point> =
        points.into_iter().filter(|point| point.request.contains(" /v1/")).collect();
    assert_eq!(calls(&points), ["prepare"].into(), "{points:?}");
    assert!(points.iter().any(|point| point.request == REVOKE_LINE), "{points:?}");
    assert_eq!(swept(&points, || UNLEASED), points.into_iter().collect());
}
