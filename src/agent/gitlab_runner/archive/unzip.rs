//! Unpacks zip archives of anybody's, files side by side on all cores.

use super::super::error::TransferError;
use super::dos_time;
use super::inspect::{Entry, Kind, Listing, refused, safe_path};
use super::target::Target;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use zip::{CompressionMethod, ExtraField, ZipArchive};

/// Threads beyond this gain nothing: the disk is slower.
const MOST_WORKERS: usize = 8;

/// Bytes read ahead.
const AHEAD: usize = 64 * 1024;

/// Unpacks an archive below a directory of which `room` bytes can be written; returns how many entries.
///
/// # Errors
/// When the archive is refused, or a file cannot be written.
pub(super) fn unpack(
    archive: File,
    room: u64,
    target: &mut Target,
) -> Result<usize, TransferError> {
    let shared = Shared::new(archive).map_err(|source| TransferError::NotReadable { source })?;
    let length = shared.length;
    let mut archive = ZipArchive::new(shared).map_err(unreadable)?;
    let mut listing = Listing::default();
    let mut by_deflate = true;
    for index in 0..archive.len() {
        let (entry, method) = read_entry(&mut archive, index)?;
        by_deflate &= matches!(method, CompressionMethod::Deflated | CompressionMethod::Stored);
        listing.add(entry)?;
    }
    let entries = listing.checked(by_deflate.then_some(length), room)?;
    target.make_directories(&entries)?;
    write_files(&archive, &entries, target)?;
    for entry in entries.iter().filter(|entry| entry.kind == Kind::Link) {
        target.write_link(entry, &mut archive.by_index(entry.index).map_err(unreadable)?)?;
    }
    target.finish_directories(&entries)?;
    Ok(entries.len())
}

/// Writes all files; each thread takes the next that nobody has taken.
fn write_files(
    archive: &ZipArchive<Shared>,
    entries: &[Entry],
    target: &Target,
) -> Result<(), TransferError> {
    let files: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == Kind::File).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut archive, mut target) = (archive.clone(), target.clone());
        while let Some(entry) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut content = archive.by_index(entry.index).map_err(unreadable)?;
            target.write_file(entry, &mut content).inspect_err(|_| {
                // The others have nothing to do any more.
                next.store(files.len(), Ordering::Relaxed);
            })?;
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.min(MOST_WORKERS).min(files.len());
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut outcome = work();
        for other in others {
            outcome = outcome.and(other.join().unwrap_or_else(|_| {
                Err(TransferError::NotReadable { source: io::ErrorKind::Other.into() })
            }));
        }
        outcome
    })
}

/// A file that several threads read, each at a place of its own.
#[derive(Debug, Clone)]
struct Shared {
    file: Arc<File>,
    length: u64,
    at: u64,
    /// What was read ahead, and where it begins: the unpacker asks for little at a time.
    ahead: Vec<u8>,
    ahead_at: u64,
}

impl Shared {
    fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), length, at: 0, ahead: Vec::new(), ahead_at: 0 })
    }
}

impl Shared {
    /// What is there of the next bytes already.
    fn known(&self) -> &[u8] {
        let skipped = self.at.checked_sub(self.ahead_at).and_then(|by| usize::try_from(by).ok());
        skipped.and_then(|skipped| self.ahead.get(skipped..)).unwrap_or_default()
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let known = self.known().len();
        if known == 0 && buffer.len() >= AHEAD {
            let read = self.file.read_at(buffer, self.at)?;
            self.at += read as u64;
            return Ok(read);
        }
        if known == 0 {
            self.ahead.resize(AHEAD, 0);
            let read = self.file.read_at(&mut self.ahead, self.at)?;
            self.ahead.truncate(read);
            self.ahead_at = self.at;
        }
        let read = self.known().read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

fn read_entry(
    archive: &mut ZipArchive<Shared>,
    index: usize,
) -> Result<(Entry, CompressionMethod), TransferError> {
    let file = archive.by_index_raw(index).map_err(unreadable)?;
    let name = file.name_raw().to_vec();
    let shown = String::from_utf8_lossy(&name).into_owned();
    if file.encrypted() {
        return Err(refused(format!("{shown} is encrypted")));
    }
    let kind = match file.unix_mode().unwrap_or_default() & 0o170_000 {
        0o120_000 => Kind::Link,
        0o040_000 => Kind::Directory,
        0 | 0o100_000 if name.ends_with(b"/") => Kind::Directory,
        0 | 0o100_000 => Kind::File,
        _ => {
            return Err(refused(format!("{shown} is neither file, directory nor link")));
        }
    };
    let stamp = file.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(stamp) => stamp.mod_time(),
        _ => None,
    });
    let modified =
        stamp.map_or_else(|| file.last_modified().map_or(0, dos_time::to_unix), i64::from);
    let default = if kind == Kind::Directory { 0o755 } else { 0o644 };
    let mode = file.unix_mode().map_or(default, |mode| mode & 0o777);
    let entry = Entry { index, path: safe_path(&name)?, kind, mode, modified, size: file.size() };
    Ok((entry, file.compression()))
}

fn unreadable(source: zip::result::ZipError) -> TransferError {
    TransferError::Unreadable { source }
}
