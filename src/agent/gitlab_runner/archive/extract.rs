//! Unpacks an inspected archive below one directory. Nothing is written through a link that leads out of
//! it, whoever made the link; an entry that is longer than it said ends the unpacking.

use super::super::error::TransferError;
use super::inspect::{Entry, Kind, inspect};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, statvfs, utimensat};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// Unpacks a zip into `directory`; returns how many entries there were.
///
/// Directories get their mode and time last, so that a read-only one can be filled; links come after all
/// files, so that no file can be written through one.
///
/// # Errors
/// When the archive is refused, or a file cannot be written.
pub(crate) fn unpack(archive: File, directory: &Path) -> Result<usize, TransferError> {
    let unreadable = |source| TransferError::Unreadable { source };
    let length = archive.metadata().map_err(|source| error("read", directory, source))?.len();
    let mut archive = ZipArchive::new(archive).map_err(unreadable)?;
    let entries = inspect(&mut archive, length, room(directory)?)?;
    let root = directory.canonicalize().map_err(|source| error("find", directory, source))?;
    let mut target = Target { root, checked: PathBuf::new() };
    for entry in entries.iter().filter(|entry| entry.kind == Kind::Directory) {
        target.make_directory(&entry.path)?;
    }
    for kind in [Kind::File, Kind::Link] {
        for entry in entries.iter().filter(|entry| entry.kind == kind) {
            let mut content = archive.by_index(entry.index).map_err(unreadable)?;
            match kind {
                Kind::Link => target.write_link(entry, &mut content)?,
                _ => target.write_file(entry, &mut content)?,
            }
        }
    }
    for entry in entries.iter().rev().filter(|entry| entry.kind == Kind::Directory) {
        target.finish_directory(entry)?;
    }
    Ok(entries.len())
}

/// Bytes that can still be written below a directory.
fn room(directory: &Path) -> Result<u64, TransferError> {
    let stat = statvfs(directory).map_err(|errno| error("measure", directory, errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The directory that is unpacked to.
struct Target {
    /// Without links in it.
    root: PathBuf,
    /// The parent that was last found to be inside; entries of one directory come together.
    checked: PathBuf,
}

impl Target {
    /// Makes a directory with all above it, and sees that it lies below the root, links and all.
    fn make_directory(&mut self, path: &Path) -> Result<PathBuf, TransferError> {
        let mut full = self.root.clone();
        if path == self.checked {
            full.push(path);
            return Ok(full);
        }
        for part in path {
            full.push(part);
            match fs::create_dir(&full) {
                Ok(()) => {}
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                    self.enter(&full)?;
                }
                Err(source) => return Err(error("create", &full, source)),
            }
        }
        path.clone_into(&mut self.checked);
        Ok(full)
    }

    /// Checks what is there already before anything is put behind it.
    fn enter(&self, full: &Path) -> Result<(), TransferError> {
        let real = full.canonicalize().map_err(|source| error("enter", full, source))?;
        if real.starts_with(&self.root) {
            return Ok(());
        }
        let (full, real) = (full.display(), real.display());
        Err(TransferError::Refused {
            reason: format!("{full} is a link to {real}, outside the project directory"),
        })
    }

    /// The place of an entry, free of what was there before.
    fn place(&mut self, path: &Path) -> Result<PathBuf, TransferError> {
        let parent = self.make_directory(path.parent().unwrap_or(Path::new("")))?;
        let full = parent.join(path.file_name().unwrap_or_default());
        match fs::remove_file(&full) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(error("replace", &full, source))
            }
            _ => Ok(full),
        }
    }

    fn write_file(&mut self, entry: &Entry, content: &mut impl Read) -> Result<(), TransferError> {
        let full = self.place(&entry.path)?;
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&full);
        let mut file = opened.map_err(|source| error("create", &full, source))?;
        // One byte more than promised is enough to know that the promise was false.
        let written = io::copy(&mut content.take(entry.size.saturating_add(1)), &mut file);
        let written = written.map_err(|source| error("write", &full, source))?;
        if written != entry.size {
            let lie = io::Error::new(
                io::ErrorKind::InvalidData,
                "the entry has another size than it says",
            );
            return Err(error("write", &full, lie));
        }
        file.set_permissions(Permissions::from_mode(entry.mode))
            .map_err(|source| error("set the mode of", &full, source))?;
        set_time(&full, entry.modified)
    }

    fn write_link(&mut self, entry: &Entry, content: &mut impl Read) -> Result<(), TransferError> {
        let full = self.place(&entry.path)?;
        let mut target = String::new();
        content
            .take(entry.size)
            .read_to_string(&mut target)
            .and_then(|_| std::os::unix::fs::symlink(target, &full))
            .map_err(|source| error("link", &full, source))?;
        set_time(&full, entry.modified)
    }

    fn finish_directory(&self, entry: &Entry) -> Result<(), TransferError> {
        let full = self.root.join(&entry.path);
        fs::set_permissions(&full, Permissions::from_mode(entry.mode))
            .map_err(|source| error("set the mode of", &full, source))?;
        set_time(&full, entry.modified)
    }
}

fn set_time(full: &Path, seconds: i64) -> Result<(), TransferError> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, full, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| error("set the time of", full, errno.into()))
}

fn error(verb: &'static str, path: &Path, source: io::Error) -> TransferError {
    TransferError::File { verb, path: path.to_owned(), source }
}
