//! Looks through a downloaded archive before anything of it is written: names that lead out of the
//! directory, entries behind links of the archive's own, and more bytes than it can honestly hold.

use super::super::error::TransferError;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Deflate cannot pack tighter than this, so an archive that claims more counts some bytes twice.
const TIGHTEST: u128 = 1032;
/// Entries of an archive; GitLab's own limits are far below.
const MOST_ENTRIES: usize = 2_000_000;
/// A link's target may be so long; the kernel takes no more.
const LONGEST_TARGET: u64 = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its content is the target.
    Link,
}

/// One entry that may be written.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number in the archive.
    pub(super) index: usize,
    /// Below the directory it is unpacked to; normal names only.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) kind: Kind,
    /// Permission bits without setuid, setgid and sticky.
    pub(super) mode: u32,
    /// Unix time in seconds.
    pub(super) modified: i64,
    /// Bytes it says it has.
    pub(super) size: u64,
}

/// The entries of an archive, gathered one by one.
#[derive(Debug, Default)]
pub(super) struct Listing {
    entries: Vec<Entry>,
    total: u128,
}

impl Listing {
    /// Adds an entry.
    ///
    /// # Errors
    /// [`TransferError::Refused`] when there are too many, or a link is too long.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), TransferError> {
        if self.entries.len() == MOST_ENTRIES {
            return Err(refused(format!("it has more than {MOST_ENTRIES} entries")));
        }
        if entry.kind == Kind::Link && entry.size > LONGEST_TARGET {
            let (path, size) = (entry.path.display(), entry.size);
            return Err(refused(format!("the link {path} has a target of {size} bytes")));
        }
        self.total += u128::from(entry.size);
        self.entries.push(entry);
        Ok(())
    }

    /// The entries, if all are fit. `length` are the bytes of an archive that is packed by deflate alone,
    /// `room` those that can be written.
    ///
    /// # Errors
    /// [`TransferError::Refused`] when any entry is unfit: then none is written.
    pub(super) fn checked(
        self,
        length: Option<u64>,
        room: u64,
    ) -> Result<Vec<Entry>, TransferError> {
        let Self { entries, total } = self;
        if let Some(length) = length.filter(|length| total > u128::from(*length) * TIGHTEST) {
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
}

/// The path of an entry, if it stays below the directory it is unpacked to.
pub(super) fn safe_path(name: &[u8]) -> Result<PathBuf, TransferError> {
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

pub(super) fn refused(reason: String) -> TransferError {
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
