//! The drill at the files: driver and runner killed right after each change that a job's calls make below
//! `run_dir` and `state_dir` - locks, leases, tokens, notes, the ledger - and each opening of a file there, which
//! is where a lock is about to be taken. What comes before a change comes after another, or after a request.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::drill::{Course, Drill, LEASED, job, sweep_at};
use crate::support::filled::Filled;
use crate::support::job_json::FakeJob;
use crate::support::kill_points::{Point, Side};
use crate::support::real::socket;

/// Each has a core that it takes from what it watches.
const AT_ONCE: usize = 4;

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A delivery, which plans a prune; there is nothing to be pruned.
fn delivery() -> FakeJob {
    job()
        .stage("delivery")
        .project(42, "group/drill")
        .registry_image("registry.example:5000/group/drill")
}

fn drill() -> Drill {
    let course =
        Course { job: delivery(), daemon: &socket(), secret: || LEASED, settings: |host| host };
    Drill::new(course).with_files(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Those that are no requests.
fn of_files(points: Vec<Point>) -> Vec<Point> {
    let verbs = ["make ", "open ", "write ", "rename ", "delete "];
    let is_of_file = |point: &Point| verbs.iter().any(|verb| point.request.starts_with(verb));
    points.into_iter().filter(is_of_file).collect()
}

#[test]
fn whoever_is_killed_at_any_change_of_a_file_one_reap_leaves_nothing() {
    let _filled = Filled::new();
    let points = of_files(drill().undisturbed());
    for (call, request) in [
        ("config", "rename state/directories"),
        ("prepare", "open run/leases"),
        ("prepare", "write run/tokens"),
        ("prepare", "write state/ledger.jsonl"),
        ("run build_script", "write state/ledger.jsonl"),
        ("cleanup", "make run/removing"),
        ("cleanup", "write state/ledger.jsonl"),
        ("worker", "open run/prune.lock"),
        ("worker", "delete run/tokens"),
        ("worker", "delete run/removing"),
    ] {
        let found = points.iter().any(|point| point.call == call && point.request == request);
        assert!(found, "{call} {request}: {points:#?}");
    }
    let once = |point: &Point, side: Side| drop(drill().killed(point, side));
    let swept = sweep_at(&points, &[Side::After], vec![once; AT_ONCE]);
    assert_eq!(swept, points.into_iter().collect::<BTreeSet<_>>());
}
