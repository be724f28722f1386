//! Looks through a downloaded archive before anything of it is written: names that lead out of the
//! directory, entries behind links of the archive's own, and more bytes than it can honestly hold.

use super::super::error::TransferError;
use super::dos_time;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use zip::{ExtraField, ZipArchive};

/// Deflate cannot pack tighter than this, so an archive that claims more counts some bytes twice.
const TIGHTEST: u128 = 1032;
/// Entries of an archive; GitLab's own limits are far below.
const MOST_ENTRIES: usize = 2_000_000;
/// A link's target may be so long; the kernel takes no more.
const LONGEST_TARGET: u64 = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its content is the target.
    Link,
}

/// One entry that may be written.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its number in the archive.
    pub(crate) index: usize,
    /// Below the directory it is unpacked to; normal names only.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) kind: Kind,
    /// Permission bits without setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// Unix time in seconds.
    pub(crate) modified: i64,
    /// Bytes it says it has.
    pub(crate) size: u64,
}

/// Reads the directory of an archive of `length` bytes, of which `room` bytes can be written.
///
/// # Errors
/// [`TransferError::Refused`] when any entry is unfit: then none is written.
pub(crate) fn inspect(
    archive: &mut ZipArchive<File>,
    length: u64,
    room: u64,
) -> Result<Vec<Entry>, TransferError> {
    if archive.len() > MOST_ENTRIES {
        return Err(refused(format!("it has {} entries", archive.len())));
    }
    let mut entries = Vec::with_capacity(archive.len());
    let mut total: u128 = 0;
    for index in 0..archive.len() {
        let entry = read_entry(archive, index)?;
        total += u128::from(entry.size);
        entries.push(entry);
    }
    if total > u128::from(length) * TIGHTEST {
        return Err(refused(format!(
            "it claims {total} bytes from {length}, which no packing can do"
        )));
    }
    if total > u128::from(room) {
        return Err(refused(format!("it needs {total} bytes and {room} are free")));
    }
    check_links(&entries)?;
    Ok(entries)
}

fn read_entry(archive: &mut ZipArchive<File>, index: usize) -> Result<Entry, TransferError> {
    let file =
        archive.by_index_raw(index).map_err(|source| TransferError::Unreadable { source })?;
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
    if kind == Kind::Link && file.size() > LONGEST_TARGET {
        return Err(refused(format!("the link {shown} has a target of {} bytes", file.size())));
    }
    let stamp = file.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(stamp) => stamp.mod_time(),
        _ => None,
    });
    let modified =
        stamp.map_or_else(|| file.last_modified().map_or(0, dos_time::to_unix), i64::from);
    let default = if kind == Kind::Directory { 0o755 } else { 0o644 };
    let mode = file.unix_mode().map_or(default, |mode| mode & 0o777);
    Ok(Entry { index, path: safe_path(&name)?, kind, mode, modified, size: file.size() })
}

/// The path of an entry, if it stays below the directory it is unpacked to.
fn safe_path(name: &[u8]) -> Result<PathBuf, TransferError> {
    let shown = || String::from_utf8_lossy(name).into_owned();
    if name.contains(&0) {
        return Err(refused(format!("the name {:?} has a zero byte", shown())));
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => {
                return Err(refused(format!("{} leads out of the project directory", shown())));
            }
        }
    }
    Ok(path)
}

/// No entry may lie behind a link of the archive, nor be a link and something else as well.
fn check_links(entries: &[Entry]) -> Result<(), TransferError> {
    let mut kinds: BTreeMap<&Path, Kind> = BTreeMap::new();
    for entry in entries {
        let before = kinds.insert(&entry.path, entry.kind);
        if before.is_some_and(|kind| kind != entry.kind || kind == Kind::Link) {
            return Err(refused(format!("{} is there twice", entry.path.display())));
        }
    }
    for entry in entries {
        let link =
            entry.path.ancestors().skip(1).find(|above| kinds.get(above) == Some(&Kind::Link));
        if let Some(link) = link {
            let (path, link) = (entry.path.display(), link.display());
            return Err(refused(format!("{path} lies behind the link {link}")));
        }
    }
    Ok(())
}

fn refused(reason: String) -> TransferError {
    TransferError::Refused { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_directory() {
        for name in ["../x", "a/../../x", "/etc/passwd", "a/..", "..", "a\0b"] {
            assert!(safe_path(name.as_bytes()).is_err(), "{name:?}");
        }
        assert_eq!(safe_path(b"./a//b/").ok(), Some(PathBuf::from("a/b")));
        assert_eq!(safe_path(b"a\xff").ok(), Some(PathBuf::from(OsStr::from_bytes(b"a\xff"))));
    }
}
