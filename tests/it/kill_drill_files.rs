//! The drill at the files: driver and runner killed right after each change that a job's calls make below
//! `run_dir` and `state_dir` - locks, leases, tokens, notes, the ledger - and each opening of a file there, which
//! is where a lock is about to be taken. What comes before a change comes after another, or after a request.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::drill::{Course, Drill, LEASED, is_of_file, job, sweep_at};
use crate::support::filled::Filled;
use crate::support::job_json::FakeJob;
use crate::support::kill_points::{Point, Side};
use crate::support::real::socket;

/// Each has a core that it takes from what it watches.
const AT_ONCE: usize = 4;

const TRIES: usize = 5;

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
    points.into_iter().filter(|point| is_of_file(&point.request)).collect()
}

/// On a busy host the thread that watches may be late, and the job gets by: then it is run once more.
fn killed(point: &Point, side: Side) {
    let met = (0..TRIES).find_map(|_| drill().killed_if_met(point, side).ok());
    assert!(met.is_some(), "{point:?} was not met");
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
    let swept = sweep_at(&points, &[Side::After], vec![killed; AT_ONCE]);
    assert_eq!(swept, points.into_iter().collect::<BTreeSet<_>>());
}
