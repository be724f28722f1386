//! Packs collected files into one stream: zip, gzip members, or one file as it is. It writes forwards only
//! and holds no file in memory, so that an upload of any size needs no disk and little memory.

use super::super::error::TransferError;
use super::{Format, Level, dos_time};
use flate2::{Compression, GzBuilder};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use zip::result::ZipError;
use zip::write::{FullFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

/// The extra field that carries a Unix time; zip's own dates know no odd seconds.
const EXTENDED_TIMESTAMP: u16 = 0x5455;
/// From here on an entry's size needs 64 bits; some room is left for a file that still grows.
const LARGE: u64 = 0xfff0_0000;

/// What to pack and how.
#[derive(Debug)]
pub(crate) struct Packing {
    /// The project directory.
    pub(crate) project: PathBuf,
    /// Relative to it, in order.
    pub(crate) paths: Vec<PathBuf>,
    /// Zip, gzip or raw.
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
        Format::Zip | Format::ZipZstd | Format::TarZstd => zip(packing, sink),
        Format::Gzip => gzip(packing, sink),
        Format::Raw => raw(packing, sink),
    }
}

fn zip(packing: &Packing, sink: impl Write) -> Result<Vec<String>, TransferError> {
    let mut writer = ZipWriter::new_stream(sink);
    let mut notes = Vec::new();
    for path in &packing.paths {
        let full = packing.project.join(path);
        let Ok(metadata) = fs::symlink_metadata(&full) else {
            notes.push(format!("WARNING: {} is gone, left out", path.display()));
            continue;
        };
        if let Some(note) = add(&mut writer, packing, path, &metadata)? {
            notes.push(note);
        }
    }
    let mut sink = writer.finish().map_err(archive_error)?;
    sink.flush().map_err(|source| archive_error(source.into()))?;
    Ok(notes)
}

/// Adds one entry; returns a note where it was left out.
fn add<W: Write>(
    writer: &mut ZipWriter<StreamWriter<W>>,
    packing: &Packing,
    path: &Path,
    metadata: &Metadata,
) -> Result<Option<String>, TransferError> {
    let full = packing.project.join(path);
    let options = options(metadata, packing.level.deflate())?;
    let kind = metadata.file_type();
    if kind.is_file() {
        let mut file = match File::open(&full) {
            Ok(file) => file,
            Err(source) => return Err(file_error("read", full, source)),
        };
        let options = options.name(path.as_os_str().as_bytes());
        writer.start_file_with_options(options).map_err(archive_error)?;
        io::copy(&mut file, writer).map_err(|source| file_error("pack", full, source))?;
        return Ok(None);
    }
    let Some(name) = path.to_str() else {
        return Ok(Some(format!("WARNING: {}: name is not UTF-8, left out", path.display())));
    };
    if kind.is_dir() {
        writer.add_directory(name, options).map_err(archive_error)?;
    } else if kind.is_symlink() {
        let target = fs::read_link(&full).map_err(|source| file_error("read", full, source))?;
        let Some(target) = target.to_str() else {
            return Ok(Some(format!("WARNING: {name}: its target is not UTF-8, left out")));
        };
        writer.add_symlink(name, target, options).map_err(archive_error)?;
    } else {
        let what = if kind.is_socket() { "a socket" } else { "a pipe or device" };
        return Ok(Some(format!("WARNING: {name}: {what}, left out")));
    }
    Ok(None)
}

fn options<'n>(
    metadata: &Metadata,
    level: u32,
) -> Result<FullFileOptions<'static, 'n>, TransferError> {
    let mut options = FullFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(level.into()))
        .last_modified_time(dos_time::from_unix(metadata.mtime()))
        .unix_permissions(metadata.mode())
        .large_file(metadata.size() >= LARGE);
    if let Ok(seconds) = u32::try_from(metadata.mtime()) {
        let [a, b, c, d] = seconds.to_le_bytes();
        options
            .add_extra_field(EXTENDED_TIMESTAMP, [1, a, b, c, d], false)
            .map_err(archive_error)?;
    }
    Ok(options)
}

/// Reports travel as gzip: each file is a member of its own that carries its name.
fn gzip(packing: &Packing, mut sink: impl Write) -> Result<Vec<String>, TransferError> {
    let mut notes = Vec::new();
    for path in &packing.paths {
        let full = packing.project.join(path);
        let metadata =
            fs::metadata(&full).map_err(|source| file_error("read", full.clone(), source))?;
        if !metadata.is_file() {
            notes.push(format!("{} is not a file, left out of gzip", path.display()));
            continue;
        }
        let mut file =
            File::open(&full).map_err(|source| file_error("read", full.clone(), source))?;
        let mut encoder = GzBuilder::new()
            .filename(path.as_os_str().as_bytes())
            .mtime(u32::try_from(metadata.mtime()).unwrap_or_default())
            .write(&mut sink, Compression::new(packing.level.deflate()));
        let packed = io::copy(&mut file, &mut encoder).and_then(|_| encoder.finish());
        packed.map_err(|source| file_error("pack", full, source))?;
    }
    sink.flush().map_err(|source| archive_error(source.into()))?;
    Ok(notes)
}

fn raw(packing: &Packing, mut sink: impl Write) -> Result<Vec<String>, TransferError> {
    let [path] = packing.paths.as_slice() else {
        return Err(TransferError::NotOneFile { count: packing.paths.len() });
    };
    let full = packing.project.join(path);
    let mut file = File::open(&full).map_err(|source| file_error("read", full.clone(), source))?;
    let sent = io::copy(&mut file, &mut sink).and_then(|_| sink.flush());
    sent.map_err(|source| file_error("send", full, source))?;
    Ok(Vec::new())
}

fn archive_error(source: ZipError) -> TransferError {
    TransferError::Archive { source }
}

fn file_error(verb: &'static str, path: PathBuf, source: io::Error) -> TransferError {
    TransferError::File { verb, path, source }
}
