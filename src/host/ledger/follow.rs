//! Reads on in the ledger from where another reading ended, over its rotations.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use super::history::{Entry, LONGEST};
use super::{Ledger, LedgerError, VERSION};
use crate::host::shared_file;

/// Where a reading ended: in which file, and how far in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The inode of the file: its name moves on.
    inode: u64,
    /// How it begins: an inode is used again.
    head: String,
    /// Bytes that were read.
    offset: u64,
}

/// Bytes that tell one file from another: the first line's time is among them.
const HEAD: u64 = 64;

impl Ledger {
    /// Passes each event after `position` to `take`, `None` for a line that cannot be read, and answers
    /// where it ended. A last line without an end is left for the next time: somebody may be writing it.
    ///
    /// A position in a file that is not there any more is before all that are: they are read as a whole.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn follow(
        &self,
        position: Position,
        mut take: impl FnMut(Option<Entry>),
    ) -> Result<Position, LedgerError> {
        let fail = |path: &std::path::Path| {
            let path = path.to_owned();
            move |source| LedgerError { path, source }
        };
        let mut files = Vec::new();
        for path in self.files() {
            files.extend(open(&path).map_err(fail(&path))?.map(|file| (path, file)));
        }
        let known = files.iter().position(|(_, (_, about))| about.is_same(&position));
        let mut last = position;
        for (at, (path, (file, about))) in files.into_iter().enumerate().skip(known.unwrap_or(0)) {
            let from = if known == Some(at) { last.offset } else { 0 };
            let offset = read(file, from, &mut take).map_err(fail(&path))?;
            last = Position { offset, ..about };
        }
        Ok(last)
    }
}

impl Position {
    /// Whether this is the start of the file that the other is in.
    fn is_same(&self, other: &Self) -> bool {
        self.inode == other.inode && self.offset >= other.offset && self.head == other.head
    }
}

/// A file with its position at its end; `None` where there is none.
fn open(path: &std::path::Path) -> io::Result<Option<(File, Position)>> {
    let mut file = match shared_file::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let about = file.metadata()?;
    let mut head = Vec::new();
    (&mut file).take(HEAD).read_to_end(&mut head)?;
    let head = String::from_utf8_lossy(&head).into_owned();
    Ok(Some((file, Position { inode: about.ino(), head, offset: about.len() })))
}

fn read(mut file: File, from: u64, take: &mut impl FnMut(Option<Entry>)) -> io::Result<u64> {
    file.seek(SeekFrom::Start(from))?;
    let (mut lines, mut line, mut offset) = (BufReader::new(file), Vec::new(), from);
    loop {
        line.clear();
        let length = (&mut lines).take(LONGEST).read_until(b'\n', &mut line)? as u64;
        if length < LONGEST && !line.ends_with(b"\n") {
            return Ok(offset);
        }
        offset += length;
        let text = line.trim_ascii();
        if !text.is_empty() {
            let entry = serde_json::from_slice::<Entry>(text).ok();
            take(entry.filter(|entry| entry.version == VERSION));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, SystemTime};

    use super::super::Event;
    use super::*;

    static NOW: AtomicU64 = AtomicU64::new(0);

    /// Each at another time, as events are.
    fn removing(ledger: &Ledger, job: &str) {
        let now = Duration::from_millis(NOW.fetch_add(1, Ordering::Relaxed));
        ledger.append(&Event::Removing { job }, SystemTime::UNIX_EPOCH + now).unwrap();
    }

    fn follow(ledger: &Ledger, position: &mut Position) -> Vec<String> {
        let mut jobs = Vec::new();
        let take = |entry: Option<Entry>| {
            jobs.push(entry.map_or_else(|| "?".to_owned(), |entry| entry.job().to_owned()));
        };
        *position = ledger.follow(position.clone(), take).unwrap();
        jobs
    }

    #[test]
    fn each_event_is_read_once_over_rotations() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::at(directory.path());
        ledger.full = 400;
        let mut position = Position::default();
        assert!(follow(&ledger, &mut position).is_empty());
        let mut read = Vec::new();
        let jobs: Vec<String> = (0..40).map(|number| format!("{number}-job")).collect();
        for (number, job) in jobs.iter().enumerate() {
            removing(&ledger, job);
            if number % 3 == 0 {
                read.extend(follow(&ledger, &mut position));
            }
        }
        read.extend(follow(&ledger, &mut position));
        assert_eq!(read, jobs);
        assert!(follow(&ledger, &mut position).is_empty());
    }

    #[test]
    fn what_was_rotated_away_unread_is_lost_and_the_rest_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::at(directory.path());
        ledger.full = 200;
        removing(&ledger, "first");
        let mut position = Position::default();
        follow(&ledger, &mut position);
        let jobs: Vec<String> = (0..30).map(|number| format!("{number}-job")).collect();
        for job in &jobs {
            removing(&ledger, job);
        }
        let read = follow(&ledger, &mut position);
        assert!(jobs.ends_with(&read) && read.len() > 6, "{read:?}");
    }

    #[test]
    fn a_ledger_that_was_deleted_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(directory.path());
        removing(&ledger, "1-job");
        let mut position = Position::default();
        follow(&ledger, &mut position);
        fs::remove_file(directory.path().join("ledger.jsonl")).unwrap();
        removing(&ledger, "2-job");
        assert_eq!(follow(&ledger, &mut position), ["2-job"]);
        // The same inode as before, and longer.
        fs::write(directory.path().join("ledger.jsonl"), "").unwrap();
        for number in 3..9 {
            removing(&ledger, &format!("{number}-job"));
        }
        assert_eq!(follow(&ledger, &mut position).len(), 6);
    }

    #[test]
    fn a_line_that_is_being_written_is_read_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(directory.path());
        removing(&ledger, "1-job");
        let path = directory.path().join("ledger.jsonl");
        let whole = fs::read_to_string(&path).unwrap();
        let mut position = Position::default();
        fs::write(&path, whole.clone() + &whole[..30]).unwrap();
        assert_eq!(follow(&ledger, &mut position), ["1-job"]);
        fs::write(&path, whole.clone() + &whole).unwrap();
        assert_eq!(follow(&ledger, &mut position), ["1-job"]);
        fs::write(&path, whole.clone() + &whole + "torn").unwrap();
        assert!(follow(&ledger, &mut position).is_empty());
        removing(&ledger, "2-job");
        assert_eq!(follow(&ledger, &mut position), ["?", "2-job"]);
    }
}
