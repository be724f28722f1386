//! Tokens that outlive the call that got them: one file each, in memory, so that whoever comes later can
//! renew what hangs on it and end it. It speaks to no server.
//!
//! The token itself is kept and not its accessor: a token may end itself, while ending one by its accessor
//! takes a right over every token of the server, which no role for jobs should have.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::plan::owner::{Moment, Owner};
use crate::secrets::Secret;

/// `TMPFS_MAGIC` and `RAMFS_MAGIC`, see statfs(2).
const MEMORY_FILESYSTEMS: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// The directory below `run_dir`.
const DIRECTORY: &str = "tokens";

/// More than any of our files has; a longer one is not ours.
const MOST_BYTES: u64 = 1 << 20;

/// Whose token it is: what a later process has to know to tell whether it is still wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The job's key.
    pub job: String,
    /// The runner that asked for the job.
    pub owner: Owner,
    /// After this the job cannot be running any more.
    pub deadline: Moment,
}

/// How long something lasts, from when it was given or renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// Unix seconds, by this host's clock.
    pub since_unix: u64,
    /// Seconds.
    pub seconds: u64,
    /// Whether the server lets it be made longer.
    pub renewable: bool,
}

impl Term {
    /// When a third of it is over, and it should be renewed; `None` where it cannot be.
    pub(super) fn due_unix(self) -> Option<u64> {
        self.renewable.then(|| self.since_unix.saturating_add((self.seconds / 3).max(1)))
    }

    /// When it ends.
    pub fn ends_unix(self) -> u64 {
        self.since_unix.saturating_add(self.seconds)
    }
}

/// One lease that hangs on a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Name of the secret it belongs to.
    pub name: String,
    /// The server's id of it.
    pub id: String,
    /// How long it lasts.
    pub term: Term,
}

/// One token that is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Whose it is.
    pub holder: Holder,
    /// The server that gave it.
    pub address: String,
    /// The namespace that it is of.
    pub namespace: Option<String>,
    /// Names the token without being one.
    pub accessor: String,
    #[serde(serialize_with = "expose", deserialize_with = "take")]
    pub(super) token: Secret,
    /// How long the token lasts.
    pub term: Term,
    /// What hangs on it.
    pub leases: Vec<Lease>,
}

fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    let text = std::str::from_utf8(secret.expose());
    serializer.serialize_str(text.map_err(|_| serde::ser::Error::custom("no text"))?)
}

fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// The directory of kept tokens: in memory, and ours alone.
#[derive(Debug, Clone)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes it where it is not there.
    ///
    /// # Errors
    /// A sentence on why no token may be put there.
    pub(super) fn open(run_dir: &Path) -> Result<Self, String> {
        let path = run_dir.join(DIRECTORY);
        let shown = path.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| format!("{shown} cannot be made ({error})"))?;
        let facts = fs::symlink_metadata(&path);
        let facts = facts.map_err(|error| format!("{shown} cannot be looked at ({error})"))?;
        let us = rustix::process::geteuid().as_raw();
        if !facts.is_dir() || facts.uid() != us || facts.mode() & 0o077 != 0 {
            return Err(format!(
                "{shown} is not a directory of user {us} alone; run: chmod 0700 {shown}"
            ));
        }
        let kind = rustix::fs::statfs(&path);
        let kind = kind.map_err(|error| format!("{shown} cannot be looked at ({error})"))?;
        if !MEMORY_FILESYSTEMS.contains(&kind.f_type) {
            return Err(format!(
                "{} is on a disk; set run_dir to a directory on a tmpfs, such as /run/longshore",
                run_dir.display()
            ));
        }
        Ok(Self(path))
    }

    /// Puts a token into a file of its own, as a whole: who is killed meanwhile leaves one that can be read.
    pub(super) fn keep(&self, kept: &Kept) -> io::Result<PathBuf> {
        let beside = unfinished(&self.0.join(&kept.holder.job));
        write_new(&beside, kept)?;
        let placed = self.place(&beside, &kept.holder.job);
        fs::remove_file(&beside)?;
        placed
    }

    fn place(&self, beside: &Path, job: &str) -> io::Result<PathBuf> {
        for number in 0..1000 {
            let path = self.0.join(format!("{job}.{number}"));
            match fs::hard_link(beside, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                placed => return placed.map(|()| path),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Where this process writes what is to stand at a path.
fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

/// Puts other words in the place of a kept token's. One that is gone by now was ended, and stays so.
pub(super) fn rewrite(path: &Path, kept: &Kept) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let next = unfinished(path);
    write_new(&next, kept)?;
    fs::rename(next, path)
}

/// Files of a `run_dir` that a process began and did not live to write: there is no token in them to be
/// ended. `lives` tells whether there is a process of a number.
pub(super) fn torn(run_dir: &Path, lives: impl Fn(u32) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(run_dir.join(DIRECTORY)) else { return Vec::new() };
    let begun = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix('.'));
        let pid = name.and_then(|name| name.rsplit_once('.')?.1.parse::<u32>().ok());
        pid.is_some_and(|pid| !lives(pid))
    });
    begun.map(|entry| entry.path()).filter(|path| read(path).is_none()).collect()
}

/// All kept tokens below a `run_dir`, oldest name first. What is no token of ours is passed over.
pub(super) fn all(run_dir: &Path) -> Vec<(PathBuf, Kept)> {
    // No directory means that nothing was ever kept.
    let Ok(entries) = fs::read_dir(run_dir.join(DIRECTORY)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths.into_iter().filter_map(|path| read(&path).map(|kept| (path, kept))).collect()
}

fn write_new(path: &Path, kept: &Kept) -> io::Result<()> {
    // Room for all of it: a vector that grows leaves copies behind.
    let room = 4096 + 1024 * kept.leases.len();
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *text, kept)?;
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(flags);
    let mut file = options.open(path)?;
    let written = file.write_all(&text);
    if written.is_err() {
        drop(fs::remove_file(path));
    }
    written
}

fn read(path: &Path) -> Option<Kept> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let facts = file.metadata().ok()?;
    let ours = facts.uid() == rustix::process::geteuid().as_raw();
    let ours = ours && facts.mode() & 0o7777 == 0o600;
    if !facts.is_file() || !ours || facts.len() > MOST_BYTES {
        return None;
    }
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(facts.len()).ok()? + 1));
    file.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests;
