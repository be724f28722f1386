//! Leases on images for the moments in which no container holds them yet: whoever pulls or chooses one
//! holds it until a container of it is created, and from then on the container is the lease, because the
//! daemon does not delete what a container uses. Whoever removes an image seizes it first, or leaves it.
//!
//! One lock file for each name, so that a long pull is in nobody's way. The kernel ends the lease of a
//! process that is killed. It does not talk to the engine and decides nothing.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::plan::login;

use super::shared_file::{self, Locked};

/// What all pulls hold; no image's id.
const PULLS: &str = "sha256:pull-under-way";

/// The leases of a host.
#[derive(Debug, Clone)]
pub struct Leases {
    directory: PathBuf,
}

/// A lease, until the last copy of it is dropped.
#[derive(Debug, Clone)]
pub struct Held {
    _lock: Arc<Locked>,
}

/// The right to remove, until dropped: nobody begins to hold the image meanwhile.
#[derive(Debug)]
pub struct Seized {
    files: Vec<(Locked, PathBuf)>,
}

impl Leases {
    /// The leases in this `run_dir`; nothing is touched yet.
    pub fn at(run_dir: &Path) -> Self {
        Self { directory: run_dir.join("leases") }
    }

    /// Takes a lease on a reference or an image id; waits while it is being removed.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub async fn hold(&self, image: &str) -> io::Result<Held> {
        let name = login::canonical(image);
        let path = self.path(&name);
        let file = match self.lock(&path, FlockOperation::NonBlockingLockShared) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let leases = self.clone();
                let waiting = move || leases.lock(&path, FlockOperation::LockShared);
                tokio::task::spawn_blocking(waiting).await.map_err(io::Error::other)??
            }
            locked => locked?,
        };
        // For people and `status` only.
        drop(file.file().write_all_at(name.as_bytes(), 0));
        Ok(Held { _lock: Arc::new(file) })
    }

    /// To be taken before a pull, and held until the image's id is: on its way an image has no name yet, and
    /// nobody can tell it from a leftover.
    ///
    /// # Errors
    /// As [`Leases::hold`].
    pub async fn hold_pulls(&self) -> io::Result<Held> {
        self.hold(PULLS).await
    }

    /// The right to remove what is known under all of these names; `None` where somebody holds one, or pulls
    /// anything and there is no name but the id.
    ///
    /// # Errors
    /// When a lock file cannot be made or locked.
    pub fn seize(&self, images: &[&str]) -> io::Result<Option<Seized>> {
        let mut seized = Seized { files: Vec::new() };
        // Twice the same name would stand in its own way.
        let mut names: BTreeSet<String> =
            images.iter().map(|image| login::canonical(image)).collect();
        if names.iter().all(|name| name.starts_with("sha256:")) {
            names.insert(PULLS.to_owned());
        }
        for name in names {
            let path = self.path(&name);
            match self.lock(&path, FlockOperation::NonBlockingLockExclusive) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                file => seized.files.push((file?, path)),
            }
        }
        Ok(Some(seized))
    }

    /// The names that are held now.
    ///
    /// # Errors
    /// When the lock files cannot be listed.
    pub fn held(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let Ok(file) = shared_file::open(&path) else { continue };
            if matches!(shared_file::try_lock(file), Ok(None)) {
                names.push(fs::read_to_string(&path).unwrap_or_default());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Names hold slashes and colons, and may be longer than a file's.
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{:x}", Sha256::digest(name)))
    }

    fn lock(&self, path: &Path, how: FlockOperation) -> io::Result<Locked> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.directory.display()))
        };
        self.lock_file(path, how).map_err(named)
    }

    fn lock_file(&self, path: &Path, how: FlockOperation) -> io::Result<Locked> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(path)?;
            flock(&file, how)?;
            let locked = Locked::of(file);
            // Whoever removed the image has taken its lock file away too, maybe under our hands.
            if locked.file().metadata()?.nlink() > 0 {
                return Ok(locked);
            }
        }
    }
}

impl Drop for Seized {
    /// No lock file outlives its image. Still locked, so that nobody locks a file that goes.
    fn drop(&mut self) {
        for (_locked, path) in &self.files {
            drop(fs::remove_file(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "reg.example:5000/team/app:test";

    fn leases() -> (tempfile::TempDir, Leases) {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::at(directory.path());
        (directory, leases)
    }

    #[tokio::test]
    async fn what_is_held_cannot_be_seized_until_the_last_holder_ends() {
        let (_directory, leases) = leases();
        let one = leases.hold(IMAGE).await.unwrap();
        let other = leases.hold(IMAGE).await.unwrap();
        assert_eq!(leases.held().unwrap(), [IMAGE]);
        drop(one);
        assert!(leases.seize(&["sha256:1", IMAGE]).unwrap().is_none());
        drop(other);
        assert!(leases.seize(&["sha256:1", IMAGE]).unwrap().is_some());
        assert_eq!(leases.held().unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn while_anything_is_pulled_no_image_without_a_name_can_be_seized() {
        let (_directory, leases) = leases();
        let pulling = leases.hold_pulls().await.unwrap();
        assert!(leases.seize(&["sha256:1"]).unwrap().is_none());
        assert!(leases.seize(&["sha256:1", IMAGE]).unwrap().is_some());
        let _id = leases.hold("sha256:1").await.unwrap();
        drop(pulling);
        assert!(leases.seize(&["sha256:1"]).unwrap().is_none());
        assert!(leases.seize(&["sha256:2"]).unwrap().is_some());
    }

    #[tokio::test]
    async fn another_image_and_another_way_to_write_a_name() {
        let (_directory, leases) = leases();
        let held = leases.hold("python").await.unwrap();
        assert!(leases.seize(&["docker.io/library/python:latest"]).unwrap().is_none());
        assert!(leases.seize(&["python:3.13"]).unwrap().is_some());
        drop(held);
    }

    #[tokio::test]
    async fn who_comes_during_a_removal_waits_for_its_end() {
        let (_directory, leases) = leases();
        let seized = leases.seize(&[IMAGE]).unwrap().unwrap();
        let mut waiting = std::pin::pin!(leases.hold(IMAGE));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(seized);
        let held = waiting.await.unwrap();
        // The file of the removed one is gone; this is the file that the next one will find.
        assert!(leases.seize(&[IMAGE]).unwrap().is_none());
        drop(held);
    }

    #[tokio::test]
    async fn no_file_is_left_of_what_was_removed() {
        let (directory, leases) = leases();
        drop(leases.hold(IMAGE).await.unwrap());
        drop(leases.seize(&[IMAGE, "sha256:1", IMAGE]).unwrap().unwrap());
        assert_eq!(fs::read_dir(directory.path().join("leases")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_place_where_no_lock_can_be_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("leases"), "").unwrap();
        let leases = Leases::at(directory.path());
        leases.hold(IMAGE).await.unwrap_err();
        leases.seize(&[IMAGE]).unwrap_err();
    }
}
