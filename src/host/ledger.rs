//! The ledger: append-only JSON lines that say what happened on this host. Nothing needs it to be
//! correct; it never holds a secret's value.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use crate::joblog::masks::Masks;

use super::shared_file;

mod event;
pub mod follow;
pub mod history;
pub mod image;
pub mod show;

pub use event::{Ending, Event};

/// Version of a line's shape. Lines of another are passed over when they are read.
pub const VERSION: u32 = 1;

/// Bytes from which on a new file is begun: some 60 000 events.
const FULL: u64 = 16 << 20;

/// Older files that are kept beside: `ledger.jsonl.1`, the newest of them, to `.3`.
const KEPT: u32 = 3;

#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    time: String,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// The ledger file of a host.
#[derive(Clone)]
pub struct Ledger {
    path: PathBuf,
    full: u64,
    masks: Option<Arc<Masks>>,
}

impl Ledger {
    /// The ledger in this state directory; nothing is touched yet.
    pub fn at(state_dir: &Path) -> Self {
        Self { path: state_dir.join("ledger.jsonl"), full: FULL, masks: None }
    }

    /// The same, without the values that nobody may read.
    #[must_use]
    pub fn masked(self, masks: &Arc<Masks>) -> Self {
        Self { masks: Some(Arc::clone(masks)), ..self }
    }

    /// Appends one event in a single write, so that lines of processes side by side do not mix. What
    /// must not be lost is on the disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written; the caller says so and goes on.
    pub fn append(&self, event: &Event<'_>, now: SystemTime) -> Result<(), LedgerError> {
        let time = humantime::format_rfc3339_millis(now).to_string();
        let line = Line { version: VERSION, time, event };
        self.write(&line, event.is_plan())
            .map_err(|source| LedgerError { path: self.path.clone(), source })
    }

    /// The files that there may be, the oldest first.
    fn files(&self) -> Vec<PathBuf> {
        (1..=KEPT).rev().map(|age| self.aged(age)).chain([self.path.clone()]).collect()
    }

    fn write(&self, line: &Line<'_>, durable: bool) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file = self.open()?;
        let length = file.metadata()?.len();
        if length >= self.full {
            self.rotate(&file)?;
            file = self.open()?;
        }
        let mut text = Vec::new();
        if length > 0 && is_torn(&file) {
            // Its writer was killed: a new line begins, so that only that one is lost.
            text.push(b'\n');
        }
        match &self.masks {
            Some(masks) => {
                serde_json::to_writer(&mut text, &masks.mask_json(serde_json::to_value(line)?))?;
            }
            None => serde_json::to_writer(&mut text, line)?,
        }
        text.push(b'\n');
        file.write_all(&text)?;
        if durable { file.sync_data() } else { Ok(()) }
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o640);
        let file = options.custom_flags(shared_file::AT_ONCE).open(&self.path)?;
        // It would take some events, which nobody reads, and then none.
        let is_pipe = file.metadata()?.file_type().is_fifo();
        if is_pipe { Err(io::Error::other("it is a pipe, and no file")) } else { Ok(file) }
    }

    /// Moves each file on by one; the oldest goes. Of two processes that find it full, one does it.
    fn rotate(&self, full: &File) -> io::Result<()> {
        flock(full, FlockOperation::LockExclusive)?;
        if fs::metadata(&self.path)?.ino() != full.metadata()?.ino() {
            return Ok(());
        }
        let mut younger: Vec<PathBuf> = self.files();
        // From the oldest to the youngest, so that none is in the way of the next.
        let mut older = younger.remove(0);
        for path in younger {
            match fs::rename(&path, &older) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => older = path,
            }
        }
        Ok(())
    }

    fn aged(&self, age: u32) -> PathBuf {
        PathBuf::from(format!("{}.{age}", self.path.display()))
    }
}

/// Whether the last line has no end. A device has none either, and is written to as it is.
fn is_torn(file: &File) -> bool {
    let Ok(facts) = file.metadata() else { return false };
    let mut last = [b'\n'];
    let read = facts.len().checked_sub(1).map(|at| file.read_at(&mut last, at));
    facts.is_file() && matches!(read, Some(Ok(1))) && last != [b'\n']
}

/// The ledger could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to use the ledger {path}: {source}; check that the disk has room and the directory is ours"
)]
pub struct LedgerError {
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests;
