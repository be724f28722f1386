//! The ledger: append-only JSON lines that say what happened on this host. Nothing needs it to be
//! correct; it never holds a secret's value.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::joblog::masks::Masks;

/// Version of a line's shape.
const VERSION: u32 = 1;

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// `prepare` ended well.
    Prepared {
        /// The job's key.
        job: &'a str,
        /// Project path.
        project: &'a str,
        /// Image reference and id.
        image: &'a str,
        /// `sha256:...`
        image_id: &'a str,
        /// Names of the secrets the job got.
        secrets: &'a [String],
    },
    /// References about to be removed; written before it is done.
    Pruning {
        /// The job's key.
        job: &'a str,
        /// The references.
        references: &'a [String],
    },
    /// References removed.
    Pruned {
        /// The job's key.
        job: &'a str,
        /// The references.
        references: &'a [String],
        /// Bytes freed, as far as the daemon tells.
        bytes: u64,
    },
    /// A cleanup that is handed to the worker; written before it starts.
    Removing {
        /// The job's key.
        job: &'a str,
    },
    /// A cleanup that is done.
    Removed {
        /// The job's key.
        job: &'a str,
        /// What could not be removed, and why.
        left: &'a [String],
    },
    /// What `reap` removed.
    Reaped {
        /// Names of the objects.
        objects: &'a [String],
    },
}

#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    time: String,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// The ledger file of a host.
#[derive(Clone, Copy)]
pub struct Ledger<'a> {
    state_dir: &'a Path,
    masks: Option<&'a Masks>,
}

impl<'a> Ledger<'a> {
    /// The ledger in this state directory; nothing is touched yet.
    pub fn at(state_dir: &'a Path) -> Self {
        Self { state_dir, masks: None }
    }

    /// The same, without the values that nobody may read.
    #[must_use]
    pub fn masked(self, masks: &'a Masks) -> Self {
        Self { masks: Some(masks), ..self }
    }

    /// Appends one event in a single write, so that lines of processes side by side do not mix.
    ///
    /// # Errors
    /// When the file cannot be written; the caller says so and goes on.
    pub fn append(&self, event: &Event<'_>, now: SystemTime) -> Result<(), LedgerError> {
        let time = humantime::format_rfc3339_millis(now).to_string();
        let line = Line { version: VERSION, time, event };
        let text = self.text(&line).map_err(io::Error::from);
        text.and_then(|text| self.write(&text))
            .map_err(|source| LedgerError { path: self.path(), source })
    }

    fn text(&self, line: &Line<'_>) -> serde_json::Result<Vec<u8>> {
        let mut text = match self.masks {
            Some(masks) => serde_json::to_vec(&masks.mask_json(serde_json::to_value(line)?))?,
            None => serde_json::to_vec(line)?,
        };
        text.push(b'\n');
        Ok(text)
    }

    fn path(&self) -> PathBuf {
        self.state_dir.join("ledger.jsonl")
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        fs::create_dir_all(self.state_dir)?;
        let mut file: File =
            OpenOptions::new().append(true).create(true).mode(0o640).open(self.path())?;
        file.write_all(line)
    }
}

/// The ledger could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to write the ledger {path}: {source}; check that the disk has room and the directory is ours"
)]
pub struct LedgerError {
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_json_with_version_and_time() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(directory.path());
        let event = Event::Removing { job: "1-abc" };
        ledger.append(&event, SystemTime::UNIX_EPOCH).unwrap();
        ledger.append(&event, SystemTime::UNIX_EPOCH).unwrap();
        let text = fs::read_to_string(directory.path().join("ledger.jsonl")).unwrap();
        assert_eq!(
            text.lines().next().unwrap(),
            r#"{"version":1,"time":"1970-01-01T00:00:00.000Z","event":"removing","job":"1-abc"}"#
        );
        assert_eq!(text.lines().count(), 2);
    }
}
