//! What is counted, once, whatever happens to the files.

use std::fs;

use super::super::gc::Trigger;
use super::super::ledger::{Ending, Event};
use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn append(&self, event: &Event<'_>, time: u64) {
        Ledger::at(self.directory.path()).append(event, at(time)).unwrap();
    }

    fn started(&self, job: &str, time: u64) {
        let (name, project) = ("unit", "web/shop");
        self.append(&Event::Started { job, id: 1, name, project, pipeline: 1, commit: "" }, time);
    }

    fn stage(&self, job: &str, stage: &str, outcome: Ending) {
        self.append(&Event::Stage { job, stage, outcome, code: None, seconds: 2.0 }, 10);
    }

    fn finished(&self, job: &str, status: &str, time: u64) {
        self.append(&Event::Finished { job, status }, time);
    }

    fn totals(&self, time: u64) -> Totals {
        Totals::update(self.directory.path(), at(time)).0
    }
}

fn jobs(totals: &Totals) -> Vec<(&str, u64)> {
    totals.jobs.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect()
}

#[test]
fn jobs_are_counted_by_how_they_ended() {
    let ground = Ground::new();
    for (job, outcome, status) in [
        ("1-a", Ending::Success, "success"),
        ("2-a", Ending::JobFailure, "failed"),
        ("3-a", Ending::SystemFailure, "failed"),
        ("4-a", Ending::JobFailure, "canceled"),
    ] {
        ground.started(job, 5);
        ground.stage(job, "build_script", outcome);
        ground.finished(job, status, 20);
    }
    ground.started("5-a", 5);
    let expected = [("canceled", 1), ("failed", 1), ("success", 1), ("system_failure", 1)];
    assert_eq!(jobs(&ground.totals(30)), expected);
    assert_eq!(jobs(&ground.totals(30)), expected, "each event counts once");
}

/// A job that sets `CI_JOB_STATUS` hides GitLab's word, and one that gets it past that is not believed.
#[test]
fn what_was_seen_decides_where_the_word_is_the_jobs() {
    let ground = Ground::new();
    for (job, outcome, status) in [
        ("1-a", Ending::Success, "unknown"),
        ("2-a", Ending::JobFailure, "unknown"),
        ("3-a", Ending::SystemFailure, "unknown"),
        ("4-a", Ending::JobFailure, "success"),
    ] {
        ground.started(job, 5);
        ground.stage(job, "get_sources", Ending::SystemFailure);
        ground.stage(job, "get_sources", Ending::Success);
        ground.stage(job, "build_script", outcome);
        ground.stage(job, "after_script", Ending::JobFailure);
        ground.stage(job, "cleanup_file_variables", Ending::SystemFailure);
        ground.finished(job, status, 20);
    }
    let expected = [("failed", 2), ("success", 1), ("system_failure", 1)];
    assert_eq!(jobs(&ground.totals(30)), expected);
    // One that ended before its scripts may be tried again.
    ground.started("5-a", 40);
    ground.stage("5-a", "after_script", Ending::Success);
    ground.finished("5-a", "unknown", 41);
    assert_eq!(jobs(&ground.totals(50)), expected);
    assert_eq!(jobs(&ground.totals(1000)), [("failed", 3), ("success", 1), ("system_failure", 1)]);
}

/// The runner calls `cleanup` between its tries of `prepare`, and never says how it went.
#[test]
fn tries_of_prepare_are_one_job() {
    let ground = Ground::new();
    for time in [100, 110, 120] {
        ground.started("1-a", time);
        ground.stage("1-a", "prepare", Ending::SystemFailure);
        ground.finished("1-a", "running", time + 5);
        assert_eq!(jobs(&ground.totals(time + 6)), []);
    }
    assert_eq!(jobs(&ground.totals(1000)), [("system_failure", 1)]);
    // A third try that went well.
    for (time, outcome, status) in
        [(2000, Ending::SystemFailure, "running"), (2010, Ending::Success, "success")]
    {
        ground.started("2-a", time);
        ground.stage("2-a", "prepare", outcome);
        ground.finished("2-a", status, time + 5);
    }
    assert_eq!(jobs(&ground.totals(9000)), [("success", 1), ("system_failure", 1)]);
}

#[test]
fn bytes_pulls_stages_and_leftovers_add_up() {
    let ground = Ground::new();
    let names = ["a:1".to_owned(), "b:1".to_owned()];
    for time in [50, 60] {
        ground.append(
            &Event::Collected {
                trigger: Trigger::Command,
                objects: &names,
                images_bytes: 10,
                cache_volumes_bytes: 200,
                build_cache_bytes: 3000,
                left: &names[..1],
            },
            time,
        );
    }
    ground.append(&Event::Reaped { objects: &names, left: &[] }, 70);
    let (job, image) = ("1-a", "a:1");
    ground.append(&Event::Pulled { job, image, image_id: "sha256:a", size: 5, seconds: 0.5 }, 71);
    ground.append(&Event::Pruned { job, references: &names, bytes: 7, left: &names }, 72);
    ground.stage("1-a", "step_mine", Ending::Success);
    ground.stage("1-a", "step_yours", Ending::Success);
    let totals = ground.totals(80);
    assert_eq!(totals.freed["gc"].values().copied().collect::<Vec<_>>(), [6000, 400, 20]);
    assert_eq!((totals.freed["prune"]["images"], totals.pruned), (7, 2));
    assert_eq!(totals.last_gc, Some(LastGc { time: 60, bytes: 3210 }));
    assert_eq!((totals.reaped, totals.left, totals.last_reaped), (2, 2, Some(70)));
    assert_eq!((totals.pulls.count(), totals.stages["step"].count()), (1, 2));
}

#[test]
fn a_file_of_totals_that_cannot_be_read_begins_anew() {
    let ground = Ground::new();
    ground.started("1-a", 5);
    ground.finished("1-a", "success", 6);
    let path = ground.directory.path().join("totals.json");
    for text in ["", "{\"version\":1,", "{\"version\":2}", "[]"] {
        fs::write(&path, text).unwrap();
        assert_eq!(jobs(&ground.totals(10)), [("success", 1)], "{text:?}");
    }
    // A directory in its place: nothing can be written down, and everything is counted each time.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(jobs(&ground.totals(10)), [("success", 1)]);
    assert_eq!(jobs(&ground.totals(10)), [("success", 1)]);
    let left: Vec<_> = fs::read_dir(ground.directory.path()).unwrap().collect();
    assert_eq!(left.len(), 3, "no half file stays: {left:?}");
}

#[test]
fn lines_that_cannot_be_read_are_counted() {
    let ground = Ground::new();
    ground.started("1-a", 5);
    let path = ground.directory.path().join("ledger.jsonl");
    fs::write(&path, fs::read_to_string(&path).unwrap() + "torn\n{\"version\":9}\n").unwrap();
    assert_eq!((ground.totals(10).unreadable, ground.totals(10).unreadable), (2, 2));
}

#[test]
fn a_ledger_that_cannot_be_read_changes_no_counter_and_is_told() {
    let ground = Ground::new();
    let path = ground.directory.path().join("ledger.jsonl");
    ground.started("1-a", 1);
    ground.finished("1-a", "success", 1);
    let before = ground.totals(2);
    fs::rename(&path, path.with_extension("away")).unwrap();
    fs::create_dir(&path).unwrap();
    let (after, error) = Totals::update(ground.directory.path(), at(3));
    assert_eq!((&after, error.is_some()), (&before, true));
    fs::remove_dir(&path).unwrap();
    fs::rename(path.with_extension("away"), &path).unwrap();
    ground.finished("2-b", "success", 4);
    assert_eq!(jobs(&ground.totals(4)), [("success", 2)]);
}
