//! Writes a zip archive forwards: entries as they come, the directory last. Sizes follow each entry, as
//! they are not known before.

use super::super::error::TransferError;
use super::blocks::{Step, Steps, pack_each};
use super::compress::Compression;
use super::pack::Packing;
use super::source::{Entry, What};
use flate2::Crc;
use rawzip::extra_fields::ExtraFieldId;
use rawzip::path::{EntryPath, ZipFilePath};
use rawzip::time::UtcDateTime;
use rawzip::{
    CompressionMethod, DataDescriptorOutput, ErrorKind, Header, ZipArchiveWriter, ZipFileBuilder,
};
use std::io::{self, Write};

/// Writes the archive; returns notes on what was left out.
///
/// # Errors
/// When a file cannot be read or the sink is closed.
pub(super) fn write(
    packing: &Packing,
    compression: Compression,
    sink: impl Write,
) -> Result<Vec<String>, TransferError> {
    let mut writer = ZipArchiveWriter::new(sink);
    let mut notes = Vec::new();
    pack_each(&packing.project, &packing.paths, compression, |steps| {
        while let Some(step) = steps.next() {
            match step? {
                Step::Entry(Entry { what: What::Directory, name, mode, modified }) => {
                    let directory = writer.new_dir(path(&name)).unix_permissions(mode);
                    directory.last_modified(time(modified)).create().map_err(failed)?;
                }
                Step::Entry(entry) => file(&mut writer, compression, entry, steps)?,
                Step::Note(note) => notes.push(note),
                // Blocks come after their entry, and are taken there.
                Step::Block(_) | Step::End => {}
            }
        }
        Ok(())
    })?;
    let mut sink = writer.finish().map_err(failed)?;
    sink.flush().map_err(|source| TransferError::Archive { source })?;
    Ok(notes)
}

/// One file or link with its content.
fn file<W: Write>(
    writer: &mut ZipArchiveWriter<W>,
    compression: Compression,
    entry: Entry,
    steps: &mut Steps,
) -> Result<(), TransferError> {
    let is_link = matches!(entry.what, What::Link(_));
    let method = if is_link { CompressionMethod::STORE } else { compression.method() };
    let file = writer.new_file(path(&entry.name)).compression_method(method);
    let file = file.unix_permissions(entry.mode).last_modified(time(entry.modified));
    // The writer puts the time into the directory alone; who unpacks a stream sees only this one.
    let stamp = extended_timestamp(entry.modified);
    let file = file.extra_field(ExtraFieldId::EXTENDED_TIMESTAMP, &stamp, Header::LOCAL);
    let (mut open, _) = file.and_then(ZipFileBuilder::start).map_err(failed)?;
    let write_error = |source| TransferError::Archive { source };
    let mut crc = Crc::new();
    let mut length = 0;
    if let What::Link(target) = entry.what {
        open.write_all(&target).map_err(write_error)?;
        crc.update(&target);
        length = target.len() as u64;
    } else {
        while let Some(Step::Block(block)) = steps.next().transpose()? {
            open.write_all(&block.bytes).map_err(write_error)?;
            crc.combine(&block.crc);
            length += block.length;
        }
    }
    open.finish(DataDescriptorOutput::new(crc.sum(), length)).map_err(failed)?;
    Ok(())
}

/// A name as it is on disk: the writer would otherwise tidy up names that only look like another system's,
/// such as `a:b`. Its mark for UTF-8 is set where it leaves the name alone.
fn path(name: &[u8]) -> EntryPath<'_> {
    match std::str::from_utf8(name) {
        Ok(text) if ZipFilePath::from_str(text).as_str() == text => EntryPath::conformant(text),
        _ => EntryPath::verbatim(name),
    }
}

/// Zip's own dates know no odd seconds and no time zone; this field does.
fn extended_timestamp(seconds: i64) -> [u8; 5] {
    let seconds = u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
    let [a, b, c, d] = seconds.to_le_bytes();
    [1, a, b, c, d]
}

fn time(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix(seconds)
}

fn failed(error: rawzip::Error) -> TransferError {
    let source = match error.into_kind() {
        ErrorKind::IO(source) => source,
        other => io::Error::other(rawzip::Error::from(other)),
    };
    TransferError::Archive { source }
}
