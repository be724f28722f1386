//! Whose turn it is to reap: one process at a time, and `prepare` sees to it that one comes every few
//! minutes. It removes nothing itself.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::host::shared_file::{self, Locked};
use crate::stage::call::Call;
use crate::stage::worker;

/// The lock.
const LOCK: &str = "reap.lock";

/// Its time of modification is when the last reap began.
const STAMP: &str = "reap.stamp";

/// Takes the lock, held until dropped; `None` where another has it.
///
/// # Errors
/// When there can be no lock in `run_dir`.
pub fn take(run_dir: &Path, now: SystemTime) -> io::Result<Option<Locked>> {
    let Some(lock) = open(run_dir)? else { return Ok(None) };
    stamp(run_dir, now)?;
    Ok(Some(lock))
}

/// When the last reap began on this host, as far as that is known.
pub fn last(run_dir: &Path) -> Option<SystemTime> {
    fs::metadata(run_dir.join(STAMP)).and_then(|facts| facts.modified()).ok()
}

/// Starts a reap in a process of its own, where the last one is too long ago. The job does not wait for it,
/// and does not fail where it cannot be started: a timer or the next job does.
pub fn start_when_due(call: &Call<'_>) {
    let (run_dir, now) = (&call.settings.run_dir, (call.world.clock)());
    let interval = call.settings.reap_interval.0;
    if interval.is_zero() || !is_due(last(run_dir), now, interval) {
        return;
    }
    let Ok(Some(lock)) = open(run_dir) else { return };
    // Of many jobs that begin at once the first starts it.
    if is_due(last(run_dir), now, interval) && stamp(run_dir, now).is_ok() {
        drop(lock);
        drop(worker::start_reap(&call.world.executable, &call.settings_path));
    }
}

fn stamp(run_dir: &Path, now: SystemTime) -> io::Result<()> {
    shared_file::open_lock(run_dir, STAMP)?.set_modified(now)
}

/// A clock that was set back does not put the next one off.
fn is_due(last: Option<SystemTime>, now: SystemTime, interval: Duration) -> bool {
    let passed = last.and_then(|last| now.duration_since(last).ok());
    passed.is_none_or(|passed| passed >= interval)
}

fn open(run_dir: &Path) -> io::Result<Option<Locked>> {
    shared_file::try_lock(shared_file::open_lock(run_dir, LOCK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_it_says_when() {
        let run_dir = tempfile::tempdir().unwrap();
        let run_dir = &run_dir.path().join("not/yet/there");
        assert_eq!(last(run_dir), None);
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let lock = take(run_dir, now).unwrap().unwrap();
        assert_eq!(last(run_dir), Some(now));
        assert!(take(run_dir, now).unwrap().is_none());
        drop(lock);
        assert!(take(run_dir, now).unwrap().is_some());
    }

    #[test]
    fn a_run_dir_that_is_a_file_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        take(file.path(), SystemTime::UNIX_EPOCH).unwrap_err();
    }

    #[test]
    fn it_is_due_by_the_clock_and_after_a_jump_of_it() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let interval = Duration::from_mins(5);
        for (last, now, due) in [
            (None, at(0), true),
            (Some(at(1000)), at(1299), false),
            (Some(at(1000)), at(1300), true),
            (Some(at(1000)), at(999), true),
        ] {
            assert_eq!(is_due(last, now, interval), due, "{last:?} {now:?}");
        }
    }
}
