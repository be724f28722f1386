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

use crate::plan::admission::Weight;

use super::shared_file::{self, Locked};

mod entry;

pub use entry::Entry;

/// The files of those that wait.
#[derive(Debug, Clone)]
pub struct Queue {
    directory: PathBuf,
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
    lock: Locked,
}

/// The lock on the queue as a whole, held until dropped.
#[derive(Debug)]
pub struct QueueLock(#[expect(dead_code, reason = "it ends with its value")] Locked);

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
        Ok(shared_file::try_take(self.file("lock")?)?.map(QueueLock))
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
            if let Some(lock) = shared_file::try_lock(file)? {
                // From before a boot, where the directory is on a disk.
                let first = if earlier.first > now { now } else { earlier.first };
                let entry = Entry { first, admitted: false, weight, ..earlier.clone() };
                fs::rename(self.directory.join(earlier.name()), self.directory.join(entry.name()))?;
                return Ok(Ticket { directory: self.directory.clone(), entry, lock });
            }
        }
        let number = entries.iter().map(|one| one.number).max().unwrap_or(0).saturating_add(1);
        let entry = Entry { number, first: now, admitted: false, weight, key: key.to_owned() };
        let lock = self.place(&entry)?;
        Ok(Ticket { directory: self.directory.clone(), entry, lock })
    }

    /// Makes a place's file anew where somebody has removed it, with the number that it had: who waits goes on,
    /// and those whose files went with the directory keep their order.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn restore(&self, ticket: &mut Ticket, _lock: &QueueLock) -> io::Result<()> {
        if ticket.lock.file().metadata()?.nlink() > 0 {
            return Ok(());
        }
        ticket.lock = self.place(&ticket.entry)?;
        Ok(())
    }

    /// All but this one, in their order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn others(&self, than: &Ticket, _lock: &QueueLock) -> io::Result<Vec<Standing>> {
        let entries = self.entries()?.into_iter().filter(|one| one.name() != than.entry.name());
        let standing = |entry: Entry| {
            // Gone meanwhile is dead too: a job that is done takes its file away.
            let alive = is_locked(&self.directory.join(entry.name()));
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

    /// A place that is nobody's yet; who only looks whether it is has its lock for a moment.
    fn place(&self, entry: &Entry) -> io::Result<Locked> {
        shared_file::lock(self.file(&entry.name())?)
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
    let lives = |entry: &Entry| is_locked(&queue.directory.join(entry.name()));
    let waits = |entry: &Entry| !entry.admitted && lives(entry);
    queue.entries().map_or(0, |entries| entries.iter().filter(|entry| waits(entry)).count())
}

fn is_locked(path: &Path) -> bool {
    shared_file::open(path).is_ok_and(|file| !matches!(shared_file::try_lock(file), Ok(Some(_))))
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
mod tests;
