//! Who waits for a place on this host, in the order of coming: one empty file a job, whose name says all
//! there is to say and whose lock says that its `prepare` still lives.
//!
//! Nothing here outlives its process but the file: a job keeps number and time between the tries of its
//! `prepare`, and whoever died stands in nobody's way. It decides nothing.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::plan::admission::Weight;

use super::shared_file;

/// The files of those that wait.
#[derive(Debug, Clone)]
pub struct Queue {
    directory: PathBuf,
}

/// What the name of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order of coming.
    pub number: u64,
    /// When its job's first `prepare` came, since the boot.
    pub first: Duration,
    /// Whether it was let in; its container may not be there yet.
    pub admitted: bool,
    /// What its job may use.
    pub weight: Weight,
    /// The job.
    pub key: String,
}

/// One of those that wait or were let in, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who it is.
    pub entry: Entry,
    /// Whether its `prepare` lives.
    pub alive: bool,
}

/// A place in the queue. Dropped it lets go of its lock, and the file stays for the job's next try.
#[derive(Debug)]
pub struct Ticket {
    directory: PathBuf,
    /// As it stands in the name.
    pub entry: Entry,
    /// Closing it releases the lock.
    lock: File,
}

/// The lock on the queue as a whole, held until dropped.
#[derive(Debug)]
pub struct QueueLock(#[expect(dead_code, reason = "closing it releases the lock")] File);

impl Entry {
    fn name(&self) -> String {
        let (first, Weight { memory_bytes, nano_cpus }) = (self.first.as_millis(), self.weight);
        let state = if self.admitted { "in" } else { "waits" };
        let (number, key) = (self.number, &self.key);
        format!("{number}.{first}.{state}.{memory_bytes}.{nano_cpus}.{key}")
    }

    /// `None` for a file that is none of ours.
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.splitn(6, '.');
        let mut part = || parts.next();
        let number = part()?.parse().ok()?;
        let first = Duration::from_millis(part()?.parse().ok()?);
        let admitted = match part()? {
            "in" => true,
            "waits" => false,
            _ => return None,
        };
        let (memory_bytes, nano_cpus) = (part()?.parse().ok()?, part()?.parse().ok()?);
        let weight = Weight { memory_bytes, nano_cpus };
        let key = part().filter(|key| !key.is_empty())?.to_owned();
        Some(Self { number, first, admitted, weight, key })
    }
}

impl Queue {
    /// The queue of this host.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn open(run_dir: &Path) -> io::Result<Self> {
        let directory = run_dir.join("queue");
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { directory })
    }

    /// The lock that who reads and changes the queue holds; `None` while another does.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn try_lock(&self) -> io::Result<Option<QueueLock>> {
        let file = self.file("lock")?;
        // One that was removed locks nobody out who comes after that.
        let is_lock = shared_file::try_lock(&file)? && file.metadata()?.nlink() > 0;
        Ok(is_lock.then_some(QueueLock(file)))
    }

    /// Takes the job's place: the one of its earlier try, else the last.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn enter(
        &self,
        key: &str,
        weight: Weight,
        now: Duration,
        _lock: &QueueLock,
    ) -> io::Result<Ticket> {
        let entries = self.entries()?;
        for earlier in entries.iter().filter(|one| one.key == key) {
            // What is no file is nobody's place.
            let Ok(file) = self.file(&earlier.name()) else { continue };
            if shared_file::try_lock(&file)? {
                // From before a boot, where the directory is on a disk.
                let first = if earlier.first > now { now } else { earlier.first };
                let entry = Entry { first, admitted: false, weight, ..earlier.clone() };
                fs::rename(self.directory.join(earlier.name()), self.directory.join(entry.name()))?;
                return Ok(Ticket { directory: self.directory.clone(), entry, lock: file });
            }
        }
        let number = entries.iter().map(|one| one.number).max().unwrap_or(0).saturating_add(1);
        let entry = Entry { number, first: now, admitted: false, weight, key: key.to_owned() };
        let lock = self.file(&entry.name())?;
        shared_file::try_lock(&lock)?;
        Ok(Ticket { directory: self.directory.clone(), entry, lock })
    }

    /// Makes a place's file anew where somebody has removed it, with the number that it had: who waits goes on,
    /// and those whose files went with the directory keep their order.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn restore(&self, ticket: &mut Ticket, _lock: &QueueLock) -> io::Result<()> {
        if ticket.lock.metadata()?.nlink() > 0 {
            return Ok(());
        }
        let file = self.file(&ticket.entry.name())?;
        shared_file::try_lock(&file)?;
        ticket.lock = file;
        Ok(())
    }

    /// All but this one, in their order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn others(&self, than: &Ticket, _lock: &QueueLock) -> io::Result<Vec<Standing>> {
        let entries = self.entries()?.into_iter().filter(|one| one.name() != than.entry.name());
        let standing = |entry: Entry| {
            let path = self.directory.join(entry.name());
            // Gone meanwhile is dead too: a job that is done takes its file away.
            let alive = shared_file::open(&path)
                .is_ok_and(|file| !shared_file::try_lock(&file).unwrap_or(false));
            Standing { entry, alive }
        };
        Ok(entries.map(standing).collect())
    }

    /// Takes the file of one that is dead away.
    pub fn forget(&self, dead: &Entry, _lock: &QueueLock) {
        // It stands in nobody's way; another look tries again.
        let _ = fs::remove_file(self.directory.join(dead.name()));
    }

    fn file(&self, name: &str) -> io::Result<File> {
        shared_file::open_lock(&self.directory, name)
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut all = Vec::new();
        for file in fs::read_dir(&self.directory)? {
            all.extend(file?.file_name().to_str().and_then(Entry::parse));
        }
        all.sort_unstable_by_key(|entry: &Entry| entry.number);
        Ok(all)
    }
}

/// How many wait on this host, for people and metrics: it looks without the queue's lock.
pub fn waiting(run_dir: &Path) -> usize {
    let queue = Queue { directory: run_dir.join("queue") };
    let lives = |entry: &Entry| {
        let locked = |file| flock(&file, FlockOperation::NonBlockingLockShared).is_err();
        shared_file::open(&queue.directory.join(entry.name())).is_ok_and(locked)
    };
    let waits = |entry: &Entry| !entry.admitted && lives(entry);
    queue.entries().map_or(0, |entries| entries.iter().filter(|entry| waits(entry)).count())
}

impl Ticket {
    /// Says to the others that this job was let in.
    ///
    /// # Errors
    /// When its file cannot be renamed: somebody took it away.
    pub fn admit(&mut self, _lock: &QueueLock) -> io::Result<()> {
        let entry = Entry { admitted: true, ..self.entry.clone() };
        fs::rename(self.path(), self.directory.join(entry.name()))?;
        self.entry = entry;
        Ok(())
    }

    /// Leaves the queue for good.
    pub fn leave(self) {
        // Without its lock it stands in nobody's way.
        let _ = fs::remove_file(self.path());
    }

    fn path(&self) -> PathBuf {
        self.directory.join(self.entry.name())
    }
}

#[cfg(test)]
mod tests {
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
}
