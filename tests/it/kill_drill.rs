//! The drill: SIGKILL to driver and runner before and after each request that a job's calls make of the
//! daemon and of Vault, and one `reap` afterwards: nothing of the job is left.

use std::collections::BTreeSet;

use crate::support::drill::{
    Course, Drill, LEASED, LOGIN_LINE, REVOKE_LINE, UNLEASED, job, sweep, sweep_at,
};
use crate::support::fake_vault::Reply;
use crate::support::filled::Filled;
use crate::support::kill_points::{Point, Side};
use crate::support::real::socket;

/// Enough to keep both cores busy, and few enough for the daemon's networks.
const AT_ONCE: usize = 4;

/// The job on the shared daemon.
fn drill(secret: fn() -> Reply) -> Drill {
    Drill::new(Course { job: job(), daemon: &socket(), secret, settings: |host| host })
}

/// Sweeps these points of the job.
fn swept(points: &[Point], secret: fn() -> Reply) -> BTreeSet<Point> {
    let once = |point: &Point, side: Side| drop(drill(secret).killed(point, side));
    sweep(points, vec![once; AT_ONCE])
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

/// The runner lives on, and calls `cleanup` after whatever it makes of that.
#[test]
fn when_the_driver_alone_is_killed_its_runners_cleanup_and_a_reap_leave_nothing() {
    let _filled = Filled::new();
    let mut points = drill(|| LEASED).undisturbed();
    // The worker has nobody beside it anyway.
    points.retain(|point| point.call != "worker");
    let once = |point: &Point, side: Side| {
        let met = drill(|| LEASED).driver_killed(point, side);
        assert!(met.is_ok(), "{side:?} {point:?}: {met:#?}");
    };
    let swept = sweep_at(&points, &[Side::After], vec![once; AT_ONCE]);
    assert_eq!(swept, points.into_iter().collect());
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
