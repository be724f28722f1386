//! The directory that an archive is unpacked to. Nothing is written through a link that leads out of it,
//! whoever made the link; an entry that is longer than it said ends the unpacking.

use super::super::error::TransferError;
use super::inspect::{Entry, Kind};
use super::source::error;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::collections::HashSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes written at once.
const CHUNK: usize = 128 * 1024;

/// The directory that is unpacked to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Without links in it.
    root: PathBuf,
    /// Directories that were found to be inside.
    checked: HashSet<PathBuf>,
}

impl Target {
    /// The directory as the kernel sees it.
    pub(super) fn new(directory: &Path) -> Result<Self, TransferError> {
        let root = directory.canonicalize().map_err(|source| error("find", directory, source))?;
        Ok(Self { root, checked: HashSet::new() })
    }

    /// Makes the directories of all entries, so that files can be written side by side.
    pub(super) fn make_directories(&mut self, entries: &[Entry]) -> Result<(), TransferError> {
        for entry in entries {
            let parent = entry.path.parent().unwrap_or(Path::new(""));
            let is_directory = entry.kind == Kind::Directory;
            self.make_directory(if is_directory { &entry.path } else { parent })?;
        }
        Ok(())
    }

    /// Gives directories their mode and time, the innermost first.
    pub(super) fn finish_directories(&self, entries: &[Entry]) -> Result<(), TransferError> {
        let mut directories: Vec<&Entry> =
            entries.iter().filter(|entry| entry.kind == Kind::Directory).collect();
        directories.sort_by(|a, b| b.path.cmp(&a.path));
        directories.into_iter().try_for_each(|entry| self.finish_directory(entry))
    }

    /// Makes a directory with all above it, and sees that it lies below the root, links and all.
    fn make_directory(&mut self, path: &Path) -> Result<PathBuf, TransferError> {
        let mut full = self.root.clone();
        if self.checked.contains(path) {
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
        self.checked.insert(path.to_owned());
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

    /// Writes a file with its mode and time.
    pub(super) fn write_file(
        &mut self,
        entry: &Entry,
        content: &mut (impl Read + ?Sized),
    ) -> Result<(), TransferError> {
        let full = self.place(&entry.path)?;
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&full);
        let file = opened.map_err(|source| error("create", &full, source))?;
        let room = usize::try_from(entry.size).unwrap_or(CHUNK).clamp(1, CHUNK);
        let mut file = BufWriter::with_capacity(room, file);
        // One byte more than promised is enough to know that the promise was false.
        let copied = io::copy(&mut content.take(entry.size.saturating_add(1)), &mut file);
        let written = copied.and_then(|written| file.flush().map(|()| written));
        let written = written.map_err(|source| error("write", &full, source))?;
        if written != entry.size {
            let lie = io::Error::new(
                io::ErrorKind::InvalidData,
                "the entry has another size than it says",
            );
            return Err(error("write", &full, lie));
        }
        file.get_ref()
            .set_permissions(Permissions::from_mode(entry.mode))
            .map_err(|source| error("set the mode of", &full, source))?;
        set_time(&full, entry.modified)
    }

    /// Makes a symbolic link; its content is the target.
    pub(super) fn write_link(
        &mut self,
        entry: &Entry,
        content: &mut (impl Read + ?Sized),
    ) -> Result<(), TransferError> {
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
