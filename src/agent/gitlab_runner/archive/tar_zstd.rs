//! Archives of GitLab's format `tarzstd`: a tar, packed as a whole by Zstandard. Written forwards; read
//! twice, once to look through it and once to unpack.

use super::super::error::TransferError;
use super::inspect::{Entry, Kind, Listing, refused, safe_path};
use super::pack::Packing;
use super::source::{self, What};
use super::target::Target;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use tar::{EntryType, Header};

/// Zstandard's threads, more of which gain nothing.
const MOST_WORKERS: usize = 8;
/// What a tar's header tells of owners: none, so that who unpacks owns the files.
const NOBODY: u64 = 0;

/// Writes the archive; returns notes on what was left out.
///
/// # Errors
/// When a file cannot be read or the sink is closed.
pub(super) fn write(packing: &Packing, sink: impl Write) -> Result<Vec<String>, TransferError> {
    let failed = |source| TransferError::Archive { source };
    let mut encoder = zstd::Encoder::new(sink, packing.level.zstd()).map_err(failed)?;
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    if workers > 1 {
        encoder.multithread(u32::try_from(workers).unwrap_or(1)).map_err(failed)?;
    }
    let mut tar = tar::Builder::new(encoder);
    let mut notes = Vec::new();
    for path in &packing.paths {
        match source::open(&packing.project, path)? {
            Ok((entry, file)) => {
                let content = file.map(source::Blocks::into_file);
                append(&mut tar, path, &entry, content).map_err(failed)?;
            }
            Err(note) => notes.push(note),
        }
    }
    let finished = tar.into_inner().and_then(zstd::Encoder::finish);
    finished.and_then(|mut sink| sink.flush()).map_err(failed)?;
    Ok(notes)
}

fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &Path,
    entry: &source::Entry,
    content: Option<File>,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode & 0o7777);
    header.set_mtime(u64::try_from(entry.modified).unwrap_or_default());
    header.set_uid(NOBODY);
    header.set_gid(NOBODY);
    header.set_size(0);
    match &entry.what {
        What::Directory => {
            header.set_entry_type(EntryType::Directory);
            tar.append_data(&mut header, path, io::empty())
        }
        What::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            tar.append_link(&mut header, path, std::ffi::OsStr::from_bytes(target))
        }
        What::File(length) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(*length);
            let content = content.ok_or(io::ErrorKind::NotFound)?;
            // A file that shrinks meanwhile must not shift what follows it.
            tar.append_data(&mut header, path, content.chain(io::repeat(0)).take(*length))
        }
    }
}

/// Unpacks an archive below a directory of which `room` bytes can be written; returns how many entries.
///
/// # Errors
/// When the archive is refused, or a file cannot be written.
pub(super) fn unpack(
    mut archive: File,
    room: u64,
    target: &mut Target,
) -> Result<usize, TransferError> {
    let mut listing = Listing::default();
    each(&archive, |entry, _| listing.add(entry))?;
    let entries = listing.checked(None, room)?;
    archive.rewind().map_err(|source| TransferError::NotReadable { source })?;
    target.make_directories(&entries)?;
    each(&archive, |entry, content| match entry.kind {
        Kind::File => target.write_file(&entry, content),
        _ => Ok(()),
    })?;
    archive.rewind().map_err(|source| TransferError::NotReadable { source })?;
    each(&archive, |entry, content| match entry.kind {
        Kind::Link => target.write_link(&entry, content),
        _ => Ok(()),
    })?;
    target.finish_directories(&entries)?;
    Ok(entries.len())
}

/// Goes through the archive once. A link's content is its target, as in a zip.
fn each(
    archive: &File,
    mut visit: impl FnMut(Entry, &mut dyn Read) -> Result<(), TransferError>,
) -> Result<(), TransferError> {
    let unreadable = |source| TransferError::NotReadable { source };
    let decoder = zstd::Decoder::new(archive).map_err(unreadable)?;
    let mut tar = tar::Archive::new(decoder);
    for (index, found) in tar.entries().map_err(unreadable)?.enumerate() {
        let mut found = found.map_err(unreadable)?;
        let name = found.path_bytes().into_owned();
        let link = found.link_name_bytes().map(Cow::into_owned).unwrap_or_default();
        let kind = match found.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Link,
            _ => {
                let shown = String::from_utf8_lossy(&name).into_owned();
                return Err(refused(format!("{shown} is neither file, directory nor link")));
            }
        };
        let header = found.header();
        let entry = Entry {
            index,
            path: safe_path(&name)?,
            kind,
            mode: header.mode().unwrap_or(0o644) & 0o777,
            modified: header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0),
            size: if kind == Kind::Link { link.len() as u64 } else { found.size() },
        };
        if kind == Kind::Link {
            visit(entry, &mut &link[..])?;
        } else {
            visit(entry, &mut found)?;
        }
    }
    Ok(())
}
