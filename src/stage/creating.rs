//! Which containers of a job the daemon was asked for and has not answered about yet. It makes them though
//! whoever asked is killed meanwhile, and maybe only after `cleanup` has looked: a container that nobody would
//! miss before the end of its runner. It removes nothing itself.
//!
//! One file for each job, there while its containers are made and locked while who makes them lives: whose they
//! are, then a line for each container before it is asked for and one once that is answered. A `prepare` that
//! was killed leaves it to the worker, to the job's next try and to `reap`.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::{Engine, EngineError, Fault};
use crate::host::shared_file::{self, Locked};
use crate::plan::container::ContainerPlan;
use crate::secrets::vault::Holder;

use super::call::Call;
use super::error::CallError;

/// The directory below `run_dir`.
const DIRECTORY: &str = "creating";

/// How long a job waits for whoever looks at what its last try left, and between two looks.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// A job whose containers are being made.
#[derive(Debug)]
pub struct Creating {
    path: PathBuf,
    file: Locked,
}

/// Containers that nobody waits for any more. As long as this is held the job's next try makes none.
#[derive(Debug)]
pub struct Unanswered {
    /// The job's key.
    pub job: String,
    /// Whose it is, where that was known.
    pub holder: Option<Holder>,
    /// Names of containers that the daemon may make yet, or has made.
    pub names: BTreeSet<String>,
    path: PathBuf,
    _lock: Locked,
}

impl Creating {
    /// Begins to make a job's containers; waits while somebody is at those of its last try.
    ///
    /// # Errors
    /// Ours: the file cannot be made in `run_dir`, or the wait takes too long.
    pub async fn begin(call: &Call<'_>) -> Result<Self, CallError> {
        let (run_dir, job) = (&call.settings.run_dir, call.plan.key.as_str());
        let path = run_dir.join(DIRECTORY).join(job);
        let begun = tokio::time::timeout(PATIENCE, Self::at(&path, call.holder().as_ref())).await;
        begun.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
            CallError::system(format!(
                "failed to note down in {} which containers are being made: {error}; make room on its file \
                 system, or set run_dir to a directory of this user",
                path.display()
            ))
        })
    }

    async fn at(path: &Path, holder: Option<&Holder>) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        loop {
            if let Some(file) = shared_file::try_take(shared_file::open_job(path, true)?)? {
                if file.file().metadata()?.len() == 0 {
                    let line = serde_json::to_string(&holder)? + "\n";
                    file.file().write_all(line.as_bytes())?;
                }
                return Ok(Self { path: path.to_owned(), file });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Creates one container, and answers its id.
    ///
    /// # Errors
    /// The engine's, or that it cannot be noted down.
    pub async fn create<E: Engine>(
        &self,
        engine: &E,
        plan: &ContainerPlan,
    ) -> Result<String, EngineError> {
        self.note('+', &plan.name)?;
        let created = engine.create(plan).await;
        // Without an answer it may come yet.
        if !created.as_ref().is_err_and(|error| error.fault.is_away()) {
            self.note('-', &plan.name)?;
        }
        created
    }

    fn note(&self, sign: char, name: &str) -> Result<(), EngineError> {
        // At once, so that no line is torn.
        let written = self.file.file().write_all(format!("{sign}{name}\n").as_bytes());
        written.map_err(|error| EngineError {
            verb: "note down the making of container",
            object: name.to_owned(),
            fault: Fault::Daemon,
            cause: format!("{}: {error}; make room on its file system", self.path.display()),
            retry_after: None,
        })
    }

    /// No more are asked for. What was not answered about stays noted down.
    pub fn end(self) {
        let is_all = shared_file::read(&self.path).is_ok_and(|text| parse(&text).1.is_empty());
        if is_all {
            // One that stays says nothing, and goes with the next look.
            drop(fs::remove_file(&self.path));
        }
    }
}

impl Unanswered {
    /// They came and went, or are another's to remove.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// What a job's last `prepare` left, where that has ended.
pub fn of_job(run_dir: &Path, job: &str) -> Option<Unanswered> {
    take(run_dir.join(DIRECTORY).join(job))
}

/// What any `prepare` left that has ended.
pub fn all(run_dir: &Path) -> Vec<Unanswered> {
    // No directory means that no container was ever made.
    let Ok(entries) = fs::read_dir(run_dir.join(DIRECTORY)) else { return Vec::new() };
    entries.flatten().filter_map(|entry| take(entry.path())).collect()
}

fn take(path: PathBuf) -> Option<Unanswered> {
    let lock = shared_file::try_take(shared_file::open_job(&path, false).ok()?).ok()??;
    let job = path.file_name()?.to_str()?.to_owned();
    let (holder, names) = parse(&shared_file::read(&path).ok()?);
    Some(Unanswered { job, holder, names, path, _lock: lock })
}

/// What is no file of ours has no names, and goes.
fn parse(text: &[u8]) -> (Option<Holder>, BTreeSet<String>) {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    let holder = lines.next().and_then(|line| serde_json::from_str(line).ok());
    let mut names = BTreeSet::new();
    for line in lines {
        if let Some(name) = line.strip_prefix('+') {
            names.insert(name.to_owned());
        } else if let Some(name) = line.strip_prefix('-') {
            names.remove(name);
        }
    }
    (holder, names)
}

#[cfg(test)]
mod tests;
