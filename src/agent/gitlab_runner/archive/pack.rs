//! Packs collected files into one stream: zip, tar, gzip members, or one file as it is. It writes forwards
//! only and holds no file in memory, so that an upload of any size needs no disk and little memory.

use super::super::error::TransferError;
use super::compress::Compression;
use super::source::error;
use super::{Format, Level, tar_zstd, zip_stream};
use flate2::GzBuilder;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What to pack and how.
#[derive(Debug)]
pub(crate) struct Packing {
    /// The project directory.
    pub(crate) project: PathBuf,
    /// Relative to it, in order.
    pub(crate) paths: Vec<PathBuf>,
    /// The archive's form.
    pub(crate) format: Format,
    /// How tightly.
    pub(crate) level: Level,
}

/// Writes the archive; returns notes on what was left out.
///
/// # Errors
/// When a file cannot be read or the sink is closed. A file that vanished meanwhile is a note.
pub(crate) fn pack(packing: &Packing, sink: impl Write) -> Result<Vec<String>, TransferError> {
    match packing.format {
        Format::Zip => zip_stream::write(packing, Compression::Deflate(packing.level), sink),
        Format::ZipZstd => zip_stream::write(packing, Compression::Zstd(packing.level), sink),
        Format::TarZstd => tar_zstd::write(packing, sink),
        Format::Gzip => gzip(packing, sink),
        Format::Raw => raw(packing, sink),
    }
}

/// Reports travel as gzip: each file is a member of its own that carries its name.
fn gzip(packing: &Packing, mut sink: impl Write) -> Result<Vec<String>, TransferError> {
    let mut notes = Vec::new();
    for path in &packing.paths {
        let full = packing.project.join(path);
        let metadata = fs::metadata(&full).map_err(|source| error("read", &full, source))?;
        if !metadata.is_file() {
            notes.push(format!("{} is not a file, left out of gzip", path.display()));
            continue;
        }
        let mut file = File::open(&full).map_err(|source| error("read", &full, source))?;
        let mut encoder = GzBuilder::new()
            .filename(path.as_os_str().as_bytes())
            .mtime(u32::try_from(metadata.mtime()).unwrap_or_default())
            .write(&mut sink, flate2::Compression::new(packing.level.deflate()));
        let packed = io::copy(&mut file, &mut encoder).and_then(|_| encoder.finish());
        packed.map_err(|source| error("pack", &full, source))?;
    }
    sink.flush().map_err(|source| TransferError::Archive { source })?;
    Ok(notes)
}

fn raw(packing: &Packing, mut sink: impl Write) -> Result<Vec<String>, TransferError> {
    let [path] = packing.paths.as_slice() else {
        return Err(TransferError::NotOneFile { count: packing.paths.len() });
    };
    let full = packing.project.join(path);
    let mut file = File::open(&full).map_err(|source| error("read", &full, source))?;
    let sent = io::copy(&mut file, &mut sink).and_then(|_| sink.flush());
    sent.map_err(|source| error("send", &full, source))?;
    Ok(Vec::new())
}
