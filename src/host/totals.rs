//! What the ledger's events add up to since this host's first job: counters that survive the ledger's
//! rotation. If the file is deleted they begin anew from the events that are there.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::world::unix;

use super::ledger::follow::Position;
use super::ledger::history::Entry;
use super::ledger::{Ledger, LedgerError};
use super::shared_file;

mod histogram;
mod open;

pub use histogram::{BOUNDS, Histogram};
use open::Open;

/// Version of the file's shape; of another the counters begin anew.
const VERSION: u32 = 1;

/// After so long without another try of its `prepare`, a job that failed there has ended.
const LAST_TRY: Duration = Duration::from_mins(5);

/// Jobs under way that are remembered at most.
const OPEN: usize = 10_000;

/// The counters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    version: u32,
    position: Position,
    /// Jobs that ended, by outcome.
    pub jobs: BTreeMap<String, u64>,
    /// How long stages took, by GitLab's name of the stage.
    pub stages: BTreeMap<String, Histogram>,
    /// How long pulls took.
    pub pulls: Histogram,
    /// Bytes freed, by who freed them and of what kind.
    pub freed: BTreeMap<String, BTreeMap<String, u64>>,
    /// References that went after a delivery.
    pub pruned: u64,
    /// Objects of dead jobs that were removed.
    pub reaped: u64,
    /// What a cleanup, a collection or a reap could not remove.
    pub left: u64,
    /// Lines of the ledger that could not be read.
    pub unreadable: u64,
    /// The last collection.
    pub last_gc: Option<LastGc>,
    /// When a reap last removed something, Unix seconds.
    pub last_reaped: Option<u64>,
    open: BTreeMap<String, Open>,
}

/// The last collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGc {
    /// Unix seconds.
    pub time: u64,
    /// Bytes that it freed.
    pub bytes: u64,
}

impl Totals {
    /// The counters of this state directory, brought up to date and written down again where that can be:
    /// who may not write there has them all the same. Where the ledger cannot be read they are what they were,
    /// and the error is told too.
    pub fn update(state_dir: &Path, now: SystemTime) -> (Self, Option<LedgerError>) {
        let path = state_dir.join("totals.json");
        // Two at once would both be right; with the lock no one overwrites the newer by the older.
        let _lock = lock(state_dir);
        let mut totals = Self::read(&path);
        let (before, position) = (totals.clone(), std::mem::take(&mut totals.position));
        let add = |entry: Option<Entry>| match entry {
            Some(entry) => totals.add(&entry),
            None => totals.unreadable += 1,
        };
        match Ledger::at(state_dir).follow(position, add) {
            Ok(position) => totals.position = position,
            Err(error) => return (before, Some(error)),
        }
        totals.end_late(unix(now));
        // Next time they are counted up from where the file stands.
        drop(totals.write(&path));
        (totals, None)
    }

    /// A file that cannot be read, or of another version, is none.
    fn read(path: &Path) -> Self {
        let text = shared_file::read(path).unwrap_or_default();
        let read: Option<Self> = serde_json::from_slice(&text).ok();
        read.filter(|one| one.version == VERSION)
            .unwrap_or_else(|| Self { version: VERSION, ..Self::default() })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        shared_file::replace(path, &serde_json::to_vec(self)?, 0o640)
    }

    fn add(&mut self, entry: &Entry) {
        let time = humantime::parse_rfc3339(&entry.time).map_or(0, unix);
        let seconds = entry.fields.get("seconds").and_then(Value::as_f64);
        match entry.event.as_str() {
            "started" => {
                let open = self.open(entry, time);
                // What an earlier try of its `prepare` met is over.
                *open = Open { last: time, ..Open::default() };
            }
            "prepared" => self.stage("prepare", seconds),
            "stage" => self.stage_ended(entry, time, seconds),
            "pulled" => self.pulls.add(seconds.unwrap_or_default()),
            "finished" => self.finished(entry, time),
            "pruned" => {
                self.pruned += count(entry, "references");
                self.free("prune", "images", number(entry, "bytes"));
            }
            "collected" => self.collected(entry, time),
            "reaped" => {
                self.reaped += count(entry, "objects");
                self.last_reaped = Some(time);
            }
            _ => {}
        }
        // What a prune leaves is in use, and no trouble.
        if matches!(entry.event.as_str(), "removed" | "collected" | "reaped") {
            self.left += count(entry, "left");
        }
    }

    fn open(&mut self, entry: &Entry, time: u64) -> &mut Open {
        if self.open.len() >= OPEN {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.last);
            if let Some(job) = oldest.map(|(job, _)| job.clone()) {
                self.open.remove(&job);
            }
        }
        let open = self.open.entry(entry.job().to_owned()).or_default();
        open.last = time;
        open
    }

    fn stage(&mut self, name: &str, seconds: Option<f64>) {
        // Steps carry their author's names, and there is no end to those.
        let name = if name.starts_with("step_") { "step" } else { name };
        self.stages.entry(name.to_owned()).or_default().add(seconds.unwrap_or_default());
    }

    fn stage_ended(&mut self, entry: &Entry, time: u64, seconds: Option<f64>) {
        self.stage(text(entry, "stage"), seconds);
        self.open(entry, time).stage_ended(text(entry, "stage"), text(entry, "outcome"));
    }

    /// GitLab's last word on a job is `running` where the runner ends it by its timeout, or where `prepare`
    /// failed, which may be tried again. Nobody's word makes a success of what was seen to fail.
    fn finished(&mut self, entry: &Entry, time: u64) {
        let open = self.open.get(entry.job()).cloned().unwrap_or_default();
        match text(entry, "status") {
            "success" => self.end(entry.job(), open.outcome().unwrap_or("success")),
            "canceled" => self.end(entry.job(), "canceled"),
            "failed" => self.end(entry.job(), open.outcome().unwrap_or("failed")),
            "unknown" if open.ran => self.end(entry.job(), open.outcome().unwrap_or("success")),
            _ => self.open(entry, time).cleaned = Some(time),
        }
    }

    fn end(&mut self, job: &str, outcome: &str) {
        self.open.remove(job);
        *self.jobs.entry(outcome.to_owned()).or_default() += 1;
    }

    /// Counts the jobs that were not tried again.
    fn end_late(&mut self, now: u64) {
        let late = |open: &Open| {
            open.cleaned.is_some_and(|time| time.saturating_add(LAST_TRY.as_secs()) < now)
        };
        let ended: Vec<(String, &'static str)> = self
            .open
            .iter()
            .filter(|(_, open)| late(open))
            .map(|(job, open)| (job.clone(), open.outcome().unwrap_or("failed")))
            .collect();
        for (job, outcome) in ended {
            self.end(&job, outcome);
        }
    }

    fn collected(&mut self, entry: &Entry, time: u64) {
        let mut bytes = 0;
        for kind in ["images", "cache_volumes", "build_cache"] {
            let freed = number(entry, &format!("{kind}_bytes"));
            self.free("gc", kind, freed);
            bytes += freed;
        }
        self.last_gc = Some(LastGc { time, bytes });
    }

    fn free(&mut self, by: &str, kind: &str, bytes: u64) {
        *self.freed.entry(by.to_owned()).or_default().entry(kind.to_owned()).or_default() += bytes;
    }
}

fn text<'e>(entry: &'e Entry, field: &str) -> &'e str {
    entry.fields.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn number(entry: &Entry, field: &str) -> u64 {
    entry.fields.get(field).and_then(Value::as_u64).unwrap_or_default()
}

fn count(entry: &Entry, field: &str) -> u64 {
    entry.fields.get(field).and_then(Value::as_array).map_or(0, |items| items.len() as u64)
}

fn lock(state_dir: &Path) -> Option<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o640)
        .custom_flags(shared_file::AT_ONCE)
        .open(state_dir.join("totals.lock"))
        .ok()?;
    flock(&file, FlockOperation::LockExclusive).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests;
