//! Who is at a job's removal, and whether it was ever finished: one file for each job whose cleanup began,
//! locked while its worker lives and gone once nothing of the job is left. It removes no object itself.
//!
//! A file without a lock is a removal that was cut short: the restart of a runner's service, or the kernel
//! short of memory, kills the worker too.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::host::shared_file::{self, Locked};

/// The directory below `run_dir`.
const DIRECTORY: &str = "removing";

/// How long a job that is tried again waits for the worker of its last try, and between two looks.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// A removal that nobody is at any more. As long as this is held nobody else takes it up.
#[derive(Debug)]
pub struct CutShort {
    /// The job's key.
    pub job: String,
    path: PathBuf,
    _lock: Locked,
}

impl CutShort {
    /// Says that nothing of the job is left.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn finish(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

/// Marks a job's removal as begun and answers the lock, for the worker to inherit.
///
/// # Errors
/// When the file cannot be made, or another worker is at the same job.
pub fn begin(run_dir: &Path, job: &str) -> io::Result<File> {
    let directory = run_dir.join(DIRECTORY);
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    let file = shared_file::open_job(&directory.join(job), true)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Says that nothing of a job is left; for the worker, which holds the lock.
///
/// # Errors
/// When the file cannot be removed.
pub fn finish(run_dir: &Path, job: &str) -> io::Result<()> {
    remove(&run_dir.join(DIRECTORY).join(job))
}

/// All removals that nobody is at.
pub fn cut_short(run_dir: &Path) -> Vec<CutShort> {
    // No directory means that nothing was ever removed.
    let Ok(entries) = fs::read_dir(run_dir.join(DIRECTORY)) else { return Vec::new() };
    entries.flatten().filter_map(|entry| take(&entry.path())).collect()
}

/// Waits until nobody is at the removal of an earlier try of this job any more: what it removes has the
/// names of what this try makes. What is left then is this try's to remove.
///
/// # Errors
/// When it takes too long.
pub async fn settle(run_dir: &Path, job: &str) -> io::Result<()> {
    settle_within(PATIENCE, &run_dir.join(DIRECTORY).join(job)).await
}

async fn settle_within(patience: Duration, path: &Path) -> io::Result<()> {
    let settled = async {
        while path.exists() && take(path).is_none_or(|found| found.finish().is_err()) {
            tokio::time::sleep(LOOK).await;
        }
    };
    let late = |_elapsed| io::Error::from(io::ErrorKind::TimedOut);
    tokio::time::timeout(patience, settled).await.map_err(late)
}

fn take(path: &Path) -> Option<CutShort> {
    let lock = shared_file::try_take(shared_file::open_job(path, false).ok()?).ok()??;
    let job = path.file_name()?.to_str()?.to_owned();
    Some(CutShort { job, path: path.to_owned(), _lock: lock })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(run_dir: &Path) -> Vec<String> {
        cut_short(run_dir).into_iter().map(|one| one.job).collect()
    }

    #[test]
    fn a_removal_is_cut_short_once_nobody_holds_its_lock() {
        let run_dir = tempfile::tempdir().unwrap();
        assert_eq!(jobs(run_dir.path()), Vec::<String>::new());
        let lock = begin(run_dir.path(), "7-ab").unwrap();
        assert_eq!(jobs(run_dir.path()), Vec::<String>::new());
        begin(run_dir.path(), "7-ab").unwrap_err();
        drop(lock);
        let found = cut_short(run_dir.path());
        assert_eq!(found[0].job, "7-ab");
        assert_eq!(jobs(run_dir.path()), Vec::<String>::new(), "somebody is at it");
        found[0].finish().unwrap();
        drop(found);
        assert_eq!(jobs(run_dir.path()), Vec::<String>::new());
        finish(run_dir.path(), "7-ab").unwrap();
    }

    #[test]
    fn what_is_no_file_is_passed_over() {
        let run_dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(run_dir.path().join(DIRECTORY).join("7-ab")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", run_dir.path().join(DIRECTORY).join("8-ab"))
            .unwrap();
        assert_eq!(jobs(run_dir.path()), Vec::<String>::new());
        begin(run_dir.path(), "7-ab").unwrap_err();
    }

    #[tokio::test]
    async fn the_next_try_waits_for_the_worker_of_the_last_one() {
        let run_dir = tempfile::tempdir().unwrap();
        settle(run_dir.path(), "7-ab").await.unwrap();
        let lock = begin(run_dir.path(), "7-ab").unwrap();
        let path = run_dir.path().join(DIRECTORY).join("7-ab");
        let late = settle_within(LOOK * 2, &path).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let ended = async {
            tokio::task::yield_now().await;
            drop(lock);
        };
        tokio::join!(settle(run_dir.path(), "7-ab"), ended).0.unwrap();
        assert!(!path.exists());
    }
}
