//! Reads the ledger back: what it cannot read is counted and passed over, because history is no reason
//! to fail.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Ledger, LedgerError, VERSION};
use crate::host::shared_file;

/// Longest line that is read; what is longer no version of ours has written.
pub(super) const LONGEST: u64 = 1 << 20;

/// One event as it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub(super) version: u32,
    /// RFC 3339, UTC.
    pub time: String,
    /// Its kind.
    pub event: String,
    /// All else.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Entry {
    /// The key of the job that it is about; empty where it is about none.
    pub fn job(&self) -> &str {
        self.fields.get("job").and_then(Value::as_str).unwrap_or_default()
    }

    fn is_of_project(&self, project: &str) -> bool {
        self.told("project").and_then(Value::as_str) == Some(project)
    }

    fn is_of_pipeline(&self, pipeline: u64) -> bool {
        self.told("pipeline").and_then(Value::as_u64) == Some(pipeline)
    }

    /// Its own word, or that of what it follows from: a prune by hand has no job that would tell.
    fn told(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).or_else(|| self.fields.get("policy")?.get(field))
    }
}

/// Which events are asked for; each part that is there narrows it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this job: its key, or GitLab's number of it.
    pub job: Option<String>,
    /// Of this pipeline's jobs.
    pub pipeline: Option<u64>,
    /// Of this project's jobs.
    pub project: Option<String>,
    /// Not older.
    pub since: Option<SystemTime>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct History {
    /// In the order of the file.
    pub entries: Vec<Entry>,
    /// Lines that were torn, or another version's.
    pub unreadable: usize,
}

impl Ledger {
    /// The events asked for, the oldest first. A ledger that is not there yet is an empty one.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn history(&self, filter: &Filter) -> Result<History, LedgerError> {
        let mut history = History::default();
        for path in self.files() {
            read(&path, &mut history, |_line| true)
                .map_err(|source| LedgerError { path, source })?;
        }
        filter.apply(&mut history.entries);
        Ok(history)
    }

    /// The events of these kinds, the oldest first. Other lines are not even parsed: `reap` reads it often.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn of_kinds(&self, kinds: &[&str]) -> Result<Vec<Entry>, LedgerError> {
        let marks: Vec<String> = kinds.iter().map(|kind| format!("\"event\":\"{kind}\"")).collect();
        let mut history = History::default();
        for path in self.files() {
            let wanted = |line: &[u8]| {
                let text = std::str::from_utf8(line).unwrap_or_default();
                marks.iter().any(|mark| text.contains(mark.as_str()))
            };
            read(&path, &mut history, wanted).map_err(|source| LedgerError { path, source })?;
        }
        Ok(history.entries)
    }
}

impl Filter {
    fn apply(&self, entries: &mut Vec<Entry>) {
        // Only a job's first event tells whose it is.
        let chosen: Option<HashSet<String>> = (self.pipeline.is_some() || self.project.is_some())
            .then(|| {
                let of_them = entries.iter().filter(|entry| self.begins(entry));
                of_them.map(|entry| entry.job().to_owned()).collect()
            });
        let since = self.since.map(|since| humantime::format_rfc3339_millis(since).to_string());
        entries.retain(|entry| {
            let of_job = self.job.as_deref().is_none_or(|job| is_job(entry.job(), job));
            let of_chosen = chosen.as_ref().is_none_or(|jobs| jobs.contains(entry.job()));
            // Of one length and one zone, so their order is that of time.
            let recent = since.as_ref().is_none_or(|since| entry.time >= *since);
            of_job && of_chosen && recent
        });
    }

    fn begins(&self, entry: &Entry) -> bool {
        !entry.job().is_empty()
            && self.pipeline.is_none_or(|pipeline| entry.is_of_pipeline(pipeline))
            && self.project.as_deref().is_none_or(|project| entry.is_of_project(project))
    }
}

/// A key begins with GitLab's number of the job.
fn is_job(key: &str, asked: &str) -> bool {
    key == asked || key.split_once('-').is_some_and(|(id, _)| id == asked)
}

fn read(path: &Path, history: &mut History, wanted: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    let file = match shared_file::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut lines).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = line.trim_ascii();
        if text.is_empty() || !wanted(text) {
            continue;
        }
        match serde_json::from_slice::<Entry>(text) {
            Ok(entry) if entry.version == VERSION => history.entries.push(entry),
            _ => history.unreadable += 1,
        }
    }
}
