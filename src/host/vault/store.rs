//! Puts a new secret id where the old one is, so that at each moment one of the two is there as a whole.
//! Knows nothing of what it means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::host::shared_file::{self, Locked};
use crate::secrets::Secret;

/// A file beside the real one that takes its place or goes.
pub(super) struct Fresh {
    file: File,
    path: PathBuf,
    target: PathBuf,
    goes: bool,
}

/// What to do with what an earlier call left beside the real file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    /// Somebody may still need it.
    Stays,
    /// The real file is as good.
    Goes,
}

/// Where the new one is until it is proved.
pub(super) fn beside(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

impl Fresh {
    /// Makes the file, empty, for its owner alone; all that can go wrong with the disk's rights goes
    /// wrong here, before there is anything to lose.
    pub(super) fn create(target: &Path, leftover: Leftover) -> io::Result<Self> {
        let path = beside(target);
        if leftover == Leftover::Goes {
            absent_is_fine(fs::remove_file(&path))?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let fresh = Self { file, path, target: target.to_owned(), goes: true };
        fresh.file.set_permissions(fs::Permissions::from_mode(0o600))?;
        // The runner's user keeps its right to read.
        match fs::symlink_metadata(target) {
            Ok(old) if old.uid() != fresh.file.metadata()?.uid() => {
                std::os::unix::fs::fchown(&fresh.file, Some(old.uid()), Some(old.gid()))?;
            }
            Ok(_) => {}
            Err(error) => absent_is_fine(Err(error))?,
        }
        Ok(fresh)
    }

    /// Writes it down for good, still beside the real one.
    pub(super) fn write(&mut self, secret: &Secret) -> io::Result<()> {
        self.file.write_all(secret.expose())?;
        self.file.write_all(b"\n")?;
        self.file.sync_all()
    }

    /// Lets it stay beside the real one, whatever comes: there is no other copy.
    pub(super) fn keep(&mut self) {
        self.goes = false;
    }

    /// Removes it: it is of no use to anybody.
    pub(super) fn discard(mut self) {
        self.goes = true;
    }

    /// Puts it in the place of the real one. Answers a remark where the disk may forget that; it is in
    /// place nevertheless.
    pub(super) fn place(mut self) -> io::Result<Option<String>> {
        let directory = self.target.parent().unwrap_or(Path::new("/")).to_owned();
        let opened = File::open(&directory)?;
        fs::rename(&self.path, &self.target)?;
        self.goes = false;
        let remark = |error| format!("{} could not be synced: {error}", directory.display());
        Ok(opened.sync_all().err().map(remark))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.goes {
            // It is empty, or its content was refused or destroyed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Keeps two calls from changing the secret id at once, until dropped.
pub(super) fn lock(run_dir: &Path) -> io::Result<Locked> {
    let taken = shared_file::try_lock(shared_file::open_lock(run_dir, "vault-enrol.lock")?)?;
    taken.ok_or_else(|| io::ErrorKind::WouldBlock.into())
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(content: Option<&str>) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret_id");
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        (dir, path)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_new_one_takes_the_place_of_the_old() {
        for before in [None, Some("old")] {
            let (_dir, path) = target(before);
            let mut fresh = Fresh::create(&path, Leftover::Stays).unwrap();
            fresh.write(&Secret::new("new")).unwrap();
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
            fresh.place().unwrap();
            assert_eq!(
                (fs::read_to_string(&path).unwrap().as_str(), mode(&path)),
                ("new\n", 0o600)
            );
            assert!(!beside(&path).exists());
        }
    }

    #[test]
    fn what_is_not_placed_goes_unless_it_is_kept() {
        let (_dir, path) = target(Some("old"));
        drop(Fresh::create(&path, Leftover::Stays).unwrap());
        assert!(!beside(&path).exists());
        Fresh::create(&path, Leftover::Stays).unwrap().keep();
        Fresh::create(&path, Leftover::Goes).unwrap().discard();
        assert!(!beside(&path).exists());
        Fresh::create(&path, Leftover::Stays).unwrap().keep();
        assert!(beside(&path).exists());
        assert!(Fresh::create(&path, Leftover::Stays).is_err());
        assert!(beside(&path).exists());
        Fresh::create(&path, Leftover::Goes).unwrap();
        assert!(!beside(&path).exists());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn the_owner_stays() {
        let (_dir, path) = target(Some("old"));
        std::os::unix::fs::chown(&path, Some(12345), Some(54321)).unwrap();
        Fresh::create(&path, Leftover::Stays).unwrap().place().unwrap();
        let facts = fs::metadata(&path).unwrap();
        assert_eq!((facts.uid(), facts.gid(), mode(&path)), (12345, 54321, 0o600));
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let (dir, path) = target(None);
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "untouched").unwrap();
        std::os::unix::fs::symlink(&elsewhere, beside(&path)).unwrap();
        assert!(Fresh::create(&path, Leftover::Stays).is_err());
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
    }

    #[test]
    fn one_at_a_time() {
        let (dir, _) = target(None);
        let first = lock(dir.path()).unwrap();
        assert_eq!(lock(dir.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        lock(dir.path()).unwrap();
    }
}
