//! The ledger under trouble: torn, foreign, full, a directory, many at once.

use super::history::{Entry, Filter};
use super::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn removing(ledger: &Ledger, job: &str) {
    ledger.append(&Event::Removing { job }, NOW).unwrap();
}

fn all(ledger: &Ledger) -> (Vec<Entry>, usize) {
    let history = ledger.history(&Filter::default()).unwrap();
    (history.entries, history.unreadable)
}

fn jobs(ledger: &Ledger) -> Vec<String> {
    all(ledger).0.iter().map(|entry| entry.job().to_owned()).collect()
}

#[test]
fn a_line_is_whole_json_with_version_and_time() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(directory.path());
    removing(&ledger, "1-abc");
    removing(&ledger, "1-abc");
    let text = fs::read_to_string(directory.path().join("ledger.jsonl")).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        r#"{"version":1,"time":"1970-01-01T00:00:00.000Z","event":"removing","job":"1-abc"}"#
    );
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn a_torn_last_line_costs_itself_alone() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(directory.path());
    removing(&ledger, "1-whole");
    let path = directory.path().join("ledger.jsonl");
    let torn = fs::read_to_string(&path).unwrap() + r#"{"version":1,"time":"19"#;
    fs::write(&path, torn).unwrap();
    removing(&ledger, "2-after");
    assert_eq!(jobs(&ledger), ["1-whole", "2-after"]);
    assert_eq!(all(&ledger).1, 1);
}

#[test]
fn lines_of_another_version_and_no_lines_at_all_are_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(directory.path());
    let foreign = "{\"version\":2,\"time\":\"1970-01-01T00:00:00Z\",\"event\":\"new\"}\n\n\
                   [1]\n\u{0}\n";
    fs::write(directory.path().join("ledger.jsonl"), foreign).unwrap();
    removing(&ledger, "1-ours");
    assert_eq!(jobs(&ledger), ["1-ours"]);
    assert_eq!(all(&ledger).1, 3);
}

#[test]
fn a_full_file_makes_room_and_the_oldest_goes() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::at(directory.path());
    ledger.full = 200;
    let names: Vec<String> = (0..20).map(|number| format!("{number}-job")).collect();
    for name in &names {
        removing(&ledger, name);
    }
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(files, 1 + KEPT as usize);
    let kept = jobs(&ledger);
    assert!(names.ends_with(&kept), "{kept:?}");
    assert!((8..20).contains(&kept.len()), "{}", kept.len());
}

#[test]
fn a_directory_in_its_place_is_told() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("ledger.jsonl")).unwrap();
    let ledger = Ledger::at(directory.path());
    let error = ledger.append(&Event::Removing { job: "1" }, NOW).unwrap_err().to_string();
    assert!(error.contains("ledger.jsonl") && error.contains("directory"), "{error}");
    ledger.history(&Filter::default()).unwrap_err();
}

#[test]
fn processes_side_by_side_do_not_mix_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let mut ledger = Ledger::at(directory.path());
            ledger.full = 64 << 10;
            scope.spawn(move || (0..500).for_each(|_| removing(&ledger, &format!("{writer}-job"))));
        }
    });
    let (entries, unreadable) = all(&Ledger::at(directory.path()));
    assert_eq!((entries.len(), unreadable), (2000, 0));
}

/// A pipe takes what is written until it is full, and whoever reads it waits for ever.
#[test]
fn a_pipe_or_a_device_in_its_place_is_told_and_waited_on_by_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.jsonl");
    let ledger = Ledger::at(directory.path());
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let error = ledger.append(&Event::Removing { job: "1" }, NOW).unwrap_err().to_string();
    assert!(error.contains("ledger.jsonl") && error.contains("it is a pipe"), "{error}");
    for _ in 0..2 {
        let error = ledger.history(&Filter::default()).unwrap_err().to_string();
        assert!(error.contains("ledger.jsonl: it is no file"), "{error}");
        ledger.of_kinds(&["pruning"]).unwrap_err();
        ledger.follow(super::follow::Position::default(), |_| ()).unwrap_err();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    }
}

/// On another disk, by the operator's choice.
#[test]
fn a_symbolic_link_to_a_file_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("ledger");
    std::os::unix::fs::symlink(&target, directory.path().join("ledger.jsonl")).unwrap();
    let ledger = Ledger::at(directory.path());
    assert_eq!(jobs(&ledger), Vec::<String>::new());
    removing(&ledger, "1-job");
    assert_eq!(jobs(&ledger), ["1-job"]);
    assert!(fs::metadata(target).unwrap().len() > 0);
}
