//! When each image and each cache volume was last used by a job: an empty file for each, whose
//! modification time tells. It needs no room on a full disk once it is there, cannot be torn, and writers
//! side by side do not meet. If it is deleted, nothing but the order of removal is lost.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::world::unix;

use super::shared_file::AT_ONCE;

pub mod traces;

/// What can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// By id, `sha256:...`.
    Image,
    /// A volume of a project's cache, by name.
    CacheVolume,
}

impl Kind {
    fn directory(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::CacheVolume => "cache-volumes",
        }
    }
}

/// The record of a host.
#[derive(Debug, Clone)]
pub struct LastUse {
    directory: PathBuf,
}

impl LastUse {
    /// The record in this state directory; nothing is touched yet.
    pub fn at(state_dir: &Path) -> Self {
        Self { directory: state_dir.join("last-use") }
    }

    /// This was used now.
    ///
    /// # Errors
    /// When it cannot be written down, or is no name; the caller goes on, it is only an order.
    pub fn note(&self, kind: Kind, name: &str, now: SystemTime) -> io::Result<()> {
        let path = self.path(kind, name)?;
        let file = match writing().open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path)?,
            file => file?,
        };
        file.set_modified(now)
    }

    /// When it was last used; `None` where that is not known.
    pub fn of(&self, kind: Kind, name: &str) -> Option<SystemTime> {
        fs::metadata(self.path(kind, name).ok()?).ok()?.modified().ok()
    }

    /// All of a kind with their last use in Unix seconds. What lies in the future, where a clock was wrong,
    /// counts as now, and is written down so: else it would never grow old.
    ///
    /// # Errors
    /// When the record is there and cannot be read.
    pub fn all(&self, kind: Kind, now: SystemTime) -> io::Result<HashMap<String, u64>> {
        let entries = match fs::read_dir(self.directory.join(kind.directory())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
            entries => entries?,
        };
        let mut all = HashMap::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Gone since, by another collection.
            let Ok(mut used) = entry.metadata().and_then(|about| about.modified()) else {
                continue;
            };
            if used > now + FORWARD {
                used = now;
                drop(self.note(kind, &name, now));
            }
            all.insert(name, unix(used));
        }
        Ok(all)
    }

    /// Forgets what is no more.
    pub fn forget(&self, kind: Kind, name: &str) {
        // One that stays is an empty file more.
        drop(self.path(kind, name).and_then(fs::remove_file));
    }

    fn path(&self, kind: Kind, name: &str) -> io::Result<PathBuf> {
        let odd = name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']);
        if odd {
            return Err(io::Error::other(format!("{name:?} is no name of an image or volume")));
        }
        Ok(self.directory.join(kind.directory()).join(name))
    }
}

/// How far two processes' clocks may be apart before one of them is wrong.
const FORWARD: Duration = Duration::from_secs(5);

fn create(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
    }
    writing().create(true).truncate(false).mode(0o640).open(path)
}

fn writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(AT_ONCE);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::shared_file::tests::pipe;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_last_use_counts_and_survives() {
        let directory = tempfile::tempdir().unwrap();
        let record = LastUse::at(directory.path());
        assert_eq!(record.of(Kind::Image, "sha256:a"), None);
        record.note(Kind::Image, "sha256:a", at(100)).unwrap();
        record.note(Kind::Image, "sha256:a", at(200)).unwrap();
        record.note(Kind::CacheVolume, "sha256:a", at(300)).unwrap();
        let again = LastUse::at(directory.path());
        assert_eq!(again.of(Kind::Image, "sha256:a"), Some(at(200)));
        assert_eq!(again.all(Kind::Image, at(400)).unwrap(), [("sha256:a".into(), 200)].into());
        again.forget(Kind::Image, "sha256:a");
        again.forget(Kind::Image, "sha256:a");
        assert!(record.all(Kind::Image, at(400)).unwrap().is_empty());
        assert_eq!(record.of(Kind::CacheVolume, "sha256:a"), Some(at(300)));
    }

    #[test]
    fn a_use_in_the_future_grows_old_from_now_on() {
        let directory = tempfile::tempdir().unwrap();
        let record = LastUse::at(directory.path());
        record.note(Kind::Image, "sha256:a", at(9000)).unwrap();
        assert_eq!(record.all(Kind::Image, at(100)).unwrap()["sha256:a"], 100);
        assert_eq!(record.all(Kind::Image, at(500)).unwrap()["sha256:a"], 100);
    }

    #[test]
    fn what_is_no_name_leaves_the_directory_alone() {
        let directory = tempfile::tempdir().unwrap();
        let record = LastUse::at(directory.path());
        for name in ["", "..", "../ledger.jsonl", "a/b", ".hidden"] {
            record.note(Kind::Image, name, at(1)).unwrap_err();
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    /// Nobody is at the other end of the pipe.
    #[test]
    fn what_is_no_file_is_an_error_and_waited_on_by_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let record = LastUse::at(directory.path());
        record.note(Kind::Image, "sha256:a", at(1)).unwrap();
        let images = directory.path().join("last-use/images");
        fs::create_dir(images.join("sha256:b")).unwrap();
        pipe(&images.join("sha256:c"));
        for name in ["sha256:b", "sha256:c"] {
            record.note(Kind::Image, name, at(2)).unwrap_err();
            record.forget(Kind::Image, name);
        }
        // A directory has a time of its own.
        let now = fs::metadata(&images).unwrap().modified().unwrap();
        assert_eq!(record.all(Kind::Image, now).unwrap()["sha256:a"], 1);
    }

    #[test]
    fn a_file_in_its_place_is_an_error_and_not_an_empty_record() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("last-use"), "").unwrap();
        let record = LastUse::at(directory.path());
        record.note(Kind::Image, "sha256:a", at(1)).unwrap_err();
        record.all(Kind::Image, at(1)).unwrap_err();
    }
}
