//! Unpacks an archive below one directory, whatever its form: that is told by its first bytes, as the
//! name always ends in `.zip`. All of it is looked through before anything is written.

use super::super::error::TransferError;
use super::source::error;
use super::target::Target;
use super::{tar_zstd, unzip};
use rustix::fs::statvfs;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

/// How a Zstandard frame begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// How a gzip member begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Unpacks an archive into `directory`; returns how many entries there were.
///
/// Directories get their mode and time last, so that a read-only one can be filled; links come after all
/// files, so that no file can be written through one.
///
/// # Errors
/// When the archive is refused, or a file cannot be written.
pub(crate) fn unpack(mut archive: File, directory: &Path) -> Result<usize, TransferError> {
    let mut first = Vec::new();
    let read = archive.by_ref().take(4).read_to_end(&mut first).and_then(|_| archive.rewind());
    read.map_err(|source| TransferError::NotReadable { source })?;
    let room = room(directory)?;
    let mut target = Target::new(directory)?;
    if first.starts_with(&ZSTD) {
        tar_zstd::unpack(archive, room, &mut target)
    } else if first.starts_with(&GZIP) {
        let source = io::Error::new(io::ErrorKind::InvalidData, "gzip reports are not unpacked");
        Err(TransferError::NotReadable { source })
    } else {
        unzip::unpack(archive, room, &mut target)
    }
}

/// Bytes that can still be written below a directory.
fn room(directory: &Path) -> Result<u64, TransferError> {
    let stat = statvfs(directory).map_err(|errno| error("measure", directory, errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
