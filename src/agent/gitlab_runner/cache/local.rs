//! The archive in the cache directory and the note beside it. It knows files alone.

use super::super::error::TransferError;
use super::super::say;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The note's name, as GitLab's binary has it.
const NOTE: &str = "metadata.json";
/// How the names of drafts begin.
const DRAFT: &str = ".longshore-draft-";
/// Names to try for a draft.
const ATTEMPTS: u32 = 100;
/// A draft this old belongs to nobody: no job lives so long.
const ABANDONED: Duration = Duration::from_hours(24);

/// A file that takes its place only when it is whole, so that another job never meets half an archive.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    place: PathBuf,
    file: Option<File>,
}

impl Draft {
    /// Opens a new file beside `place`, with the directories above it.
    ///
    /// # Errors
    /// When the cache directory cannot be written.
    pub(super) fn beside(place: &Path) -> Result<Self, TransferError> {
        let directory = parent(place);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| error("create", directory, source))?;
        let mut refusal = io::ErrorKind::AlreadyExists.into();
        // Jobs in several containers share the directory, and may have the same process id.
        for attempt in 0..ATTEMPTS {
            let path = directory.join(format!("{DRAFT}{}-{attempt}", std::process::id()));
            let mut options = OpenOptions::new();
            match options.read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    sweep(directory, &file);
                    return Ok(Self { path, place: place.to_owned(), file: Some(file) });
                }
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => refusal = source,
                Err(source) => return Err(error("create", &path, source)),
            }
        }
        Err(error("create a draft in", directory, refusal))
    }

    /// The file to write to.
    ///
    /// # Errors
    /// When the kernel gives no second handle.
    pub(super) fn file(&self) -> Result<File, TransferError> {
        let closed = || Err(io::ErrorKind::NotFound.into());
        let file = self.file.as_ref().map_or_else(closed, File::try_clone);
        file.map_err(|source| error("write", &self.path, source))
    }

    /// Puts the file in its place, with a time of change where one is given.
    ///
    /// # Errors
    /// When the cache directory cannot be written.
    pub(super) fn keep(mut self, modified: Option<SystemTime>) -> Result<(), TransferError> {
        if let (Some(file), Some(modified)) = (self.file.take(), modified) {
            file.set_times(FileTimes::new().set_modified(modified))
                .map_err(|source| error("set the time of", &self.path, source))?;
        }
        fs::rename(&self.path, &self.place).map_err(|source| error("replace", &self.place, source))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Nothing is there any more once it was kept.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes drafts of killed processes: those that are a day older than one just made.
fn sweep(directory: &Path, fresh: &File) {
    let modified = |about: io::Result<fs::Metadata>| about.and_then(|about| about.modified()).ok();
    let Some(now) = modified(fresh.metadata()) else { return };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_draft = entry.file_name().to_string_lossy().starts_with(DRAFT);
        let age = modified(entry.metadata()).and_then(|then| now.duration_since(then).ok());
        if is_draft && age.is_some_and(|age| age > ABANDONED) {
            // Another job may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn parent(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// When the archive was last changed; `None` when there is none.
pub(super) fn modified(place: &Path) -> Option<SystemTime> {
    fs::metadata(place).ok()?.modified().ok()
}

/// Takes over an archive that lies under the other way to name keys, where there is none of this name.
pub(super) fn adopt(place: &Path, alternate: Option<&Path>, notes: &mut dyn Write) {
    let Some(alternate) = alternate.filter(|alternate| *alternate != place) else { return };
    if place.exists() || !alternate.exists() {
        return;
    }
    let moved = fs::create_dir_all(parent(place)).and_then(|()| fs::rename(alternate, place));
    match moved {
        Ok(()) => say(notes, "took over the archive from the key's other name"),
        Err(error) => {
            say(notes, &format!("WARNING: cannot take over {}: {error}", alternate.display()));
        }
    }
}

/// Writes what is known of the archive beside it; keys in lower case, wherever they come from.
///
/// # Errors
/// When the cache directory cannot be written.
pub(super) fn note(place: &Path, metadata: &BTreeMap<String, String>) -> Result<(), TransferError> {
    let named = metadata.iter().filter(|(key, _)| !key.is_empty());
    let pairs: BTreeMap<String, &String> =
        named.map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
    let path = parent(place).join(NOTE);
    let text = serde_json::to_vec(&pairs).unwrap_or_default();
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&path);
    let written = opened.and_then(|mut file| file.write_all(&text));
    written.map_err(|source| error("write", &path, source))
}

/// The variables of a file that the script wrote for this call: `KEY="value"` a line, with backslashes.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn variables(path: &Path) -> Result<BTreeMap<String, String>, TransferError> {
    let text = fs::read_to_string(path).map_err(|source| error("read", path, source))?;
    let pair = |line: &str| {
        let (key, value) = line.trim().split_once('=')?;
        Some((key.to_owned(), unquoted(value)))
    };
    Ok(text.lines().filter_map(pair).collect())
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some(escaped) => out.push(escaped),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

pub(super) fn error(verb: &'static str, path: &Path, source: io::Error) -> TransferError {
    TransferError::File { verb, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_come_without_their_backslashes() {
        assert_eq!(unquoted(r#""{\"cachekey\":\"a b\"}""#), r#"{"cachekey":"a b"}"#);
        assert_eq!(unquoted(r#""a\\n\nb\$""#), "a\\n\nb$");
        assert_eq!(unquoted("plain"), "plain");
    }
}
