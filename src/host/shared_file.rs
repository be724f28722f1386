//! Files that several processes of this host share: locks, and files that are put in place as a whole. What
//! stands in them is the callers' business.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::owner;

/// Opening does not wait for who is at the other end of a pipe, which no file of ours should be.
pub(super) const AT_ONCE: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Opens the file of a lock, made where it is missing, and its directory too, for us alone.
///
/// # Errors
/// When either cannot be made.
pub fn open_lock(directory: &Path, name: &str) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.custom_flags(AT_ONCE).open(directory.join(name))
}

/// Opens a file to be read. What is no file (a pipe, a device, a directory) is an error: a pipe would be
/// waited on, and a device may have no end.
///
/// # Errors
/// When it is not there, is no file, or cannot be read.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(AT_ONCE).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// Opens a job's file to be locked and appended to, made where `create` says so. No link is followed, and what is
/// no file is an error.
///
/// # Errors
/// When it is not there, is no file, or cannot be made.
pub fn open_job(path: &Path, create: bool) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    let file = options.append(true).create(create).mode(0o600).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Reads a file as a whole, as [`open`] has it.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes the lock on an open file; waits for whoever has it.
///
/// # Errors
/// When the file system knows no locks.
pub fn lock(file: File) -> io::Result<Locked> {
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(Locked(file))
}

/// As [`lock`], but answers at once: `None` where another has it.
///
/// # Errors
/// When the file system knows no locks.
pub fn try_lock(file: File) -> io::Result<Option<Locked>> {
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Locked(file))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A lock that ends with its value. The closing of the file alone is not enough: a process that is being started
/// beside us has a copy of it for a moment, and with it the lock.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// Of a file on which the lock was taken.
    pub fn of(file: File) -> Self {
        Self(file)
    }

    /// The file itself; to close a copy of it ends no lock.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock); // closing it does it, a moment later
    }
}

/// Takes the lock on a file that goes with what it stands for: `None` where another has it, or has removed the
/// file meanwhile, which then locks nobody out who comes after.
///
/// # Errors
/// When the file system knows no locks.
pub fn try_take(file: File) -> io::Result<Option<Locked>> {
    let Some(taken) = try_lock(file)? else { return Ok(None) };
    Ok((taken.file().metadata()?.nlink() > 0).then_some(taken))
}

/// Puts a file there as a whole or not at all, with this mode whatever the process's umask takes away.
///
/// # Errors
/// When it cannot be written; what was there stays.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // No name that a collector of `*.prom` would take.
    let fresh = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(mode).open(&fresh)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        fs::rename(&fresh, path)
    })();
    if written.is_err() {
        drop(fs::remove_file(&fresh));
    }
    written
}

/// Removes what [`replace`] was at when its process was killed.
pub fn forget_unfinished(directory: &Path) {
    // What is not there was never begun.
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_abandoned) {
            // The next one tries again.
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// `.NAME.PID`, of a process that has ended.
fn is_abandoned(name: &str) -> bool {
    let pid = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    let pid = pid.and_then(|(_, pid)| pid.parse::<u32>().ok());
    pid.is_some_and(|pid| !owner::lives(pid))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pipe where a file of ours should be.
    pub(in crate::host) fn pipe(path: &Path) {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }

    #[test]
    fn what_a_dead_process_was_at_goes_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let live = format!(".a.{}", std::process::id());
        // More than a pid can be.
        for name in [".a.99999999", ".a.b.99999999", &live, ".a", "a.99999999", ".a.x", ".99999999"]
        {
            fs::write(directory.path().join(name), "").unwrap();
        }
        forget_unfinished(directory.path());
        let left = fs::read_dir(directory.path()).unwrap().map(|one| one.unwrap().file_name());
        let mut left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
        left.sort();
        let mut expected = vec![".99999999".to_owned(), ".a".into(), live, ".a.x".into()];
        expected.push("a.99999999".to_owned());
        expected.sort();
        assert_eq!(left, expected);
        forget_unfinished(&directory.path().join("nothing"));
    }

    #[test]
    fn one_has_the_lock_until_it_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let run_dir = directory.path().join("a/b");
        let open = || open_lock(&run_dir, "some.lock").unwrap();
        let held = try_lock(open()).unwrap().unwrap();
        assert!(try_lock(open()).unwrap().is_none());
        drop(held);
        assert!(try_lock(open()).unwrap().is_some());
    }

    #[test]
    fn only_a_file_is_read_and_nobody_waits_at_a_pipe() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"one").unwrap();
        assert_eq!(read(&file).unwrap(), b"one");
        let odd = directory.path().join("pipe");
        pipe(&odd);
        for odd in [&odd, directory.path(), Path::new("/dev/zero")] {
            assert_eq!(read(odd).unwrap_err().to_string(), "it is no file", "{odd:?}");
        }
        open_lock(directory.path(), "pipe").unwrap_err();
        let missing = read(&directory.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_lock_ends_though_somebody_has_a_copy_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let open = || open_lock(directory.path(), "some.lock").unwrap();
        for take in [|file| lock(file).map(Some), try_lock] {
            let held = take(open()).unwrap().unwrap();
            let _copy = held.file().try_clone().unwrap();
            drop(held);
            assert!(try_lock(open()).unwrap().is_some());
        }
    }

    #[test]
    fn what_cannot_be_put_in_place_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        replace(&file, b"one", 0o600).unwrap();
        replace(&file, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).unwrap();
        replace(&taken, b"three", 0o600).unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
