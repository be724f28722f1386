//! What an archive takes from disk: an entry's name, mode and time, and a file's bytes block by block. What
//! no archive can hold is told as a note.

use super::super::error::TransferError;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes packed at once: large enough that packing each on its own costs little, small enough for all
/// cores to have one in hand.
pub(super) const BLOCK: usize = 512 * 1024;

/// Something to put into an archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// Relative to the project, with a slash at a directory's end.
    pub(super) name: Vec<u8>,
    /// Type and permissions.
    pub(super) mode: u32,
    /// Unix time in seconds.
    pub(super) modified: i64,
    /// What it is.
    pub(super) what: What,
}

/// What an entry is.
#[derive(Debug)]
pub(super) enum What {
    Directory,
    /// Where the link leads to.
    Link(Vec<u8>),
    /// How long the file is now; it may grow or shrink while it is read.
    File(u64),
}

/// A file that is read block by block.
#[derive(Debug)]
pub(super) struct Blocks {
    file: File,
    path: PathBuf,
    /// The file's length as far as it is known.
    left: u64,
}

/// An entry with its file, or a note why there is none.
pub(super) type Opened = Result<(Entry, Option<Blocks>), String>;

/// Looks at a path below the project and opens it where it is a file.
///
/// # Errors
/// When a file that is there cannot be opened. One that vanished is a note.
pub(super) fn open(project: &Path, path: &Path) -> Result<Opened, TransferError> {
    let full = project.join(path);
    let shown = path.display();
    let Ok(about) = fs::symlink_metadata(&full) else {
        return Ok(Err(format!("WARNING: {shown} is gone, left out")));
    };
    let kind = about.file_type();
    let mut name = path.as_os_str().as_bytes().to_vec();
    let (what, file) = if kind.is_dir() {
        name.push(b'/');
        (What::Directory, None)
    } else if kind.is_symlink() {
        let target = fs::read_link(&full).map_err(|source| error("read", &full, source))?;
        (What::Link(target.as_os_str().as_bytes().to_vec()), None)
    } else if kind.is_file() {
        let file = File::open(&full).map_err(|source| error("read", &full, source))?;
        let blocks = Blocks { file, path: full, left: about.len() };
        (What::File(about.len()), Some(blocks))
    } else {
        let what = if kind.is_socket() { "a socket" } else { "a pipe or device" };
        return Ok(Err(format!("WARNING: {shown}: {what}, left out")));
    };
    Ok(Ok((Entry { name, mode: about.mode(), modified: about.mtime(), what }, file)))
}

impl Blocks {
    /// The file as it is, for who reads it in another way.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// The next bytes, and whether they are the last; a file has at least one block, if an empty one.
    pub(super) fn block(&mut self) -> Result<(Vec<u8>, bool), TransferError> {
        let expected = usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK);
        // One byte more than expected shows the end without another read.
        let mut bytes = Vec::with_capacity((expected + 1).min(BLOCK));
        let limit = BLOCK as u64;
        let read = self.file.by_ref().take(limit).read_to_end(&mut bytes);
        read.map_err(|source| error("read", &self.path, source))?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        let last = bytes.len() < BLOCK;
        Ok((bytes, last))
    }
}

pub(super) fn error(verb: &'static str, path: &Path, source: io::Error) -> TransferError {
    TransferError::File { verb, path: path.to_owned(), source }
}
