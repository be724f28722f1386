//! Reads credential files, and refuses those that others could have read or written. It does not put
//! them right: it says with which command a person does.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use super::VaultError;
use crate::secrets::Secret;

/// Ids are UUIDs or an operator's own word; a file with more than this holds something else.
pub(super) const MOST_BYTES: u64 = 4096;

/// Who may be able to read a credential's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Its owner alone.
    Owner,
    /// Its group as well.
    Group,
}

/// The one line of `path`, which the setting `key` names.
pub(super) fn read(key: &'static str, path: &Path, readers: Readers) -> Result<Secret, VaultError> {
    let refused = |reason| VaultError::File { key, path: path.to_owned(), reason };
    let file = open(path).map_err(refused)?;
    check(&file, path, readers).map_err(refused)?;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = (&file).take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| refused(format!("cannot be read ({error})")))?;
    one_line(&bytes).map_err(refused)
}

/// Opens without following a link at the end and without waiting for a FIFO's other end.
fn open(path: &Path) -> Result<File, String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.map(File::from).map_err(|errno| match errno {
        rustix::io::Errno::LOOP => "is a symbolic link; name the file itself".to_owned(),
        rustix::io::Errno::NOENT => {
            "does not exist; write the id into it and run chmod 0600 on it".to_owned()
        }
        rustix::io::Errno::ACCESS => {
            "may not be read by this user; see who owns it with ls -l".to_owned()
        }
        other => format!("cannot be opened ({other})"),
    })
}

fn check(file: &File, path: &Path, readers: Readers) -> Result<(), String> {
    let facts = file.metadata().map_err(|error| format!("cannot be looked at ({error})"))?;
    let shown = path.display();
    if !facts.is_file() {
        return Err("is not a regular file; name one".to_owned());
    }
    let us = rustix::process::geteuid().as_raw();
    if facts.uid() != 0 && facts.uid() != us {
        return Err(format!(
            "belongs to user {}, not to us or root; run: chown {us} {shown}",
            facts.uid()
        ));
    }
    let mode = facts.mode() & 0o7777;
    let others = if readers == Readers::Group { 0o037 } else { 0o077 };
    if mode & others != 0 {
        return Err(format!("others may use it (mode {mode:04o}); run: chmod 0600 {shown}"));
    }
    if facts.len() > MOST_BYTES {
        return Err(format!("has {} bytes; it holds the id and nothing else", facts.len()));
    }
    Ok(())
}

/// The id alone, without the white space around it; else why it is none, as a fragment.
pub(super) fn one_line(bytes: &[u8]) -> Result<Secret, String> {
    let id = bytes.trim_ascii();
    if id.is_empty() {
        return Err("is empty; write the id into it".to_owned());
    }
    if id.contains(&b'\n') || id.contains(&b'\r') {
        return Err("has more than one line; it holds the id and nothing else".to_owned());
    }
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("has more than {MOST_BYTES} bytes; it holds the id and nothing else"));
    }
    if !id.iter().all(u8::is_ascii_graphic) {
        return Err("holds characters that no id has; write the id alone into it".to_owned());
    }
    Ok(Secret::new(id))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(path: &Path) -> Result<Secret, VaultError> {
        super::read("vault.approle.secret_id_file", path, Readers::Owner)
    }

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret_id");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn refusal(path: &Path) -> String {
        read(path).unwrap_err().to_string()
    }

    #[test]
    fn one_trimmed_line() {
        for content in ["id-1", "id-1\n", "id-1\r\n", "  id-1 \n\n"] {
            let (_dir, path) = file(content.as_bytes(), 0o600);
            assert_eq!(read(&path).unwrap().expose(), b"id-1", "{content:?}");
        }
        let (_dir, path) = file(b"id-1", 0o400);
        assert!(read(&path).is_ok());
    }

    #[test]
    fn open_to_others_names_the_chmod() {
        for mode in [0o644, 0o640, 0o604, 0o620, 0o610] {
            let (_dir, path) = file(b"id-1", mode);
            let expected = format!("run: chmod 0600 {}", path.display());
            assert!(refusal(&path).ends_with(&expected), "{}", refusal(&path));
        }
    }

    #[test]
    fn a_group_may_read_what_systemd_hands_in() {
        let by_group = |mode| {
            let (_dir, path) = file(b"id-1", mode);
            super::read("k", &path, Readers::Group).is_ok()
        };
        assert_eq!(
            [0o440, 0o400, 0o460, 0o450, 0o444].map(by_group),
            [true, true, false, false, false]
        );
    }

    #[test]
    fn content_that_is_no_id() {
        for (content, word) in
            [("", "empty"), (" \n", "empty"), ("a\nb", "one line"), ("a b", "characters")]
        {
            let (_dir, path) = file(content.as_bytes(), 0o600);
            assert!(refusal(&path).contains(word), "{content:?}: {}", refusal(&path));
        }
        let (_dir, path) = file(&[b'x'; 5000], 0o600);
        assert!(refusal(&path).contains("5000 bytes"));
        let (_dir, path) = file(b"caf\xc3\xa9", 0o600);
        assert!(!refusal(&path).contains("caf"), "{}", refusal(&path));
    }

    #[test]
    fn what_is_no_regular_file() {
        let (dir, path) = file(b"id-1", 0o600);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(refusal(&link).contains("symbolic link"));
        assert!(refusal(dir.path()).contains("not a regular file"));
        assert!(refusal(&dir.path().join("none")).contains("does not exist"));
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0)
            .unwrap();
        assert!(refusal(&fifo).contains("not a regular file"));
    }

    #[test]
    fn somebody_elses_file() {
        let (_dir, path) = file(b"id-1", 0o600);
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        assert!(refusal(&path).contains("belongs to user 12345"));
    }
}
