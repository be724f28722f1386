//! Places in the queue, what becomes of them when somebody dies, and what else may lie in the directory.

use super::*;
use crate::host::shared_file::tests::pipe;

const NOW: Duration = Duration::from_secs(1000);

struct Ground {
    _directory: tempfile::TempDir,
    queue: Queue,
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let queue = Queue::open(directory.path()).unwrap();
        Self { _directory: directory, queue }
    }

    fn lock(&self) -> QueueLock {
        self.queue.try_lock().unwrap().unwrap()
    }

    fn enter(&self, key: &str, now: Duration) -> Ticket {
        self.queue.enter(key, Weight::default(), now, &self.lock()).unwrap()
    }

    fn others(&self, than: &Ticket) -> Vec<(String, bool)> {
        let others = self.queue.others(than, &self.lock()).unwrap();
        others.into_iter().map(|one| (one.entry.key, one.alive)).collect()
    }
}

#[test]
fn a_name_says_all() {
    let weight = Weight { memory_bytes: 4 << 30, nano_cpus: 1_500_000_000 };
    let first = Duration::from_millis(834_223_311);
    let key = "1234-ab12cd34".to_owned();
    let entry = Entry { number: 17, first, admitted: true, weight, key };
    assert_eq!(Entry::parse(&entry.name()), Some(entry));
    for odd in ["lock", "1.2.in.3.4.", "1.2.out.3.4.k", "-1.2.in.3.4.k", "1.2.in", ""] {
        assert_eq!(Entry::parse(odd), None, "{odd}");
    }
}

#[test]
fn those_that_live_stand_in_the_order_of_coming() {
    let ground = Ground::new();
    let [_one, two, three] = ["a", "b", "c"].map(|key| ground.enter(key, NOW));
    drop(two);
    let seen = ground.others(&three);
    assert_eq!(seen, [("a".to_owned(), true), ("b".to_owned(), false)]);
    fs::write(ground.queue.directory.join("somebody's"), "").unwrap();
    assert_eq!(ground.others(&three), seen);
}

#[test]
fn the_next_try_of_a_job_has_the_place_and_the_time_of_the_first() {
    let ground = Ground::new();
    let mut first = ground.enter("a", NOW);
    first.admit(&ground.lock()).unwrap();
    let other = ground.enter("b", NOW);
    drop(first);
    let again = ground.enter("a", NOW * 2);
    assert_eq!((again.entry.number, again.entry.first), (1, NOW));
    assert!(!again.entry.admitted);
    assert_eq!(ground.others(&other), [("a".to_owned(), true)]);
    again.leave();
    assert_eq!(ground.others(&other), []);
    // What was written before a boot is in the future.
    drop(ground.enter("c", NOW * 3));
    assert_eq!(ground.enter("c", NOW).entry.first, NOW);
}

#[test]
fn two_that_live_are_never_one() {
    let ground = Ground::new();
    let [one, two] = ["a", "a"].map(|key| ground.enter(key, NOW));
    assert_ne!(one.entry.number, two.entry.number);
    assert_eq!(ground.others(&one), [("a".to_owned(), true)]);
}

/// Whatever lies there stands in nobody's way, and nobody's place is lost by it.
#[test]
fn what_is_damaged_in_the_directory_is_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let ground = Ground::new();
    let directory = ground.queue.directory.clone();
    let first = ground.enter("a", NOW);
    for name in ["2.1.waits.0.0.b", "3.1.in.0.0.mine", "4.1.waits.0.0.c"] {
        fs::create_dir(directory.join(name)).unwrap();
    }
    pipe(&directory.join("5.1.in.0.0.mine"));
    std::os::unix::fs::symlink("/dev/zero", directory.join("6.1.waits.0.0.d")).unwrap();
    std::os::unix::fs::symlink("/nothing", directory.join("7.1.waits.0.0.e")).unwrap();
    fs::write(directory.join(std::ffi::OsStr::from_bytes(b"8.1.waits.0.0.\xff")), "").unwrap();
    fs::write(directory.join("9.1.waits.0.0"), "what was torn").unwrap();
    let mine = ground.enter("mine", NOW);
    assert_eq!(mine.entry.number, 8);
    let alive = ground.queue.others(&mine, &ground.lock()).unwrap().into_iter();
    let alive: Vec<String> = alive.filter(|one| one.alive).map(|one| one.entry.key).collect();
    assert_eq!(alive, ["a"]);
    assert_eq!(waiting(directory.parent().unwrap()), 2);
    let dead = Entry::parse("2.1.waits.0.0.b").unwrap();
    ground.queue.forget(&dead, &ground.lock());
    first.leave();
    mine.leave();
    assert_eq!(waiting(directory.parent().unwrap()), 0);
}

/// The highest number there is: those that come later have no order, and each has a place.
#[test]
fn a_number_that_has_no_next_is_no_end() {
    let ground = Ground::new();
    let last = format!("{}.1.waits.0.0.b", u64::MAX);
    fs::write(ground.queue.directory.join(last), "").unwrap();
    let [one, two] = ["a", "c"].map(|key| ground.enter(key, NOW));
    assert_eq!(ground.others(&one).into_iter().filter(|(_, alive)| *alive).count(), 1);
    drop(two);
}

#[test]
fn a_directory_that_is_something_else_is_told() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("queue"), "").unwrap();
    assert_eq!(Queue::open(directory.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(waiting(directory.path()), 0);
}

#[test]
fn whose_directory_is_removed_keeps_place_and_order() {
    let ground = Ground::new();
    let [mut one, mut two, mut three] = ["a", "b", "c"].map(|key| ground.enter(key, NOW));
    one.admit(&ground.lock()).unwrap();
    fs::remove_dir_all(&ground.queue.directory).unwrap();
    // Who comes first now has not seen the others yet.
    let late = ground.enter("late", NOW);
    for ticket in [&mut three, &mut one, &mut two] {
        ground.queue.restore(ticket, &ground.lock()).unwrap();
        ground.queue.restore(ticket, &ground.lock()).unwrap();
    }
    let seen = ground.others(&late);
    assert_eq!(
        seen,
        [("a", true), ("b", true), ("c", true)].map(|(key, alive)| (key.into(), alive))
    );
    let admitted = ground.queue.others(&late, &ground.lock()).unwrap();
    assert!(admitted[0].entry.admitted);
    two.admit(&ground.lock()).unwrap();
    drop(three);
    assert_eq!(ground.others(&late)[2], ("c".to_owned(), false));
}

#[test]
fn a_lock_that_was_removed_locks_nobody_out() {
    let ground = Ground::new();
    let _held = ground.lock();
    fs::remove_file(ground.queue.directory.join("lock")).unwrap();
    let again = ground.lock();
    assert!(ground.queue.try_lock().unwrap().is_none());
    drop(again);
}

#[test]
fn only_one_holds_the_queue() {
    let ground = Ground::new();
    let held = ground.lock();
    assert!(ground.queue.try_lock().unwrap().is_none());
    drop(held);
    assert!(ground.queue.try_lock().unwrap().is_some());
}
