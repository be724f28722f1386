//! Files that `init` writes: what would become of each, and writing one so that it is there as a whole or not at
//! all.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::stage::error::CallError;

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// It says the same already.
    Keep,
    /// It is not there.
    Create,
    /// Something is added at its end.
    Add,
    /// It says something else.
    Replace,
}

/// A file to be.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Its rights, where it is new.
    pub(super) mode: u32,
    pub(super) action: Action,
}

impl Planned {
    /// Looks what is there.
    pub(super) fn of(path: PathBuf, text: String, mode: u32) -> Result<Self, CallError> {
        let action = match read(&path)? {
            None => Action::Create,
            Some(old) if old == text => Action::Keep,
            Some(_) => Action::Replace,
        };
        Ok(Self { path, text, mode, action })
    }

    /// Puts it there. One that was there keeps its owner and rights.
    pub(super) fn write(&self) -> Result<(), CallError> {
        self.put().map_err(|error| {
            CallError::system(format!("failed to write {}: {error}", self.path.display()))
        })
    }

    fn put(&self) -> io::Result<()> {
        // A link stays one: what it leads to is replaced.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_absent| self.path.clone());
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
        }
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        // What an earlier try left, whose rights may be others.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(self.text.as_bytes())?;
        match fs::metadata(&path) {
            Ok(old) => {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
                file.set_permissions(old.permissions())?;
            }
            Err(_absent) => file.set_permissions(Permissions::from_mode(self.mode))?,
        }
        file.sync_all()?;
        fs::rename(fresh, path)
    }
}

/// A file's text; `None` where it is not there.
pub(super) fn read(path: &Path) -> Result<Option<String>, CallError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CallError::system(format!("failed to read {}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_keeps_its_rights_and_nothing_is_left_beside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/file");
        let first = Planned::of(path.clone(), "one\n".to_owned(), 0o644).unwrap();
        assert_eq!(first.action, Action::Create);
        first.write().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o644);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let same = Planned::of(path.clone(), "one\n".to_owned(), 0o644).unwrap();
        assert_eq!(same.action, Action::Keep);
        let other = Planned::of(path.clone(), "two\n".to_owned(), 0o644).unwrap();
        assert_eq!(other.action, Action::Replace);
        other.write().unwrap();
        assert_eq!((read(&path).unwrap().as_deref(), mode(&path)), (Some("two\n"), 0o640));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
