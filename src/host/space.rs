//! How much room there is on the file system of the engine's data root, where that is on this host.
//! Reads, decides nothing.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, EngineError};
use crate::settings::Settings;

use super::shared_file;

/// Room on one file system. Bytes and inodes are those that an ordinary user may still take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Space {
    /// A directory on it: the engine's data root.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Of them, free.
    pub free_bytes: u64,
    /// Its inodes; 0 where it makes them as it needs them.
    pub inodes: u64,
    /// Of them, free.
    pub free_inodes: u64,
}

/// What can be told of the room on the engine's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is here.
    Space(Space),
    /// It is not; why, in words.
    Unseen(String),
}

/// What this host remembers of where its engine keeps its files: asking costs the daemon some 10 ms.
#[derive(Serialize, Deserialize)]
struct Known {
    host: String,
    data_root: PathBuf,
}

impl Space {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When the path is not there or cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let about = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
        Ok(Self {
            path: path.to_owned(),
            bytes: bytes(about.f_blocks),
            free_bytes: bytes(about.f_bavail),
            inodes: about.f_files,
            free_inodes: about.f_favail,
        })
    }
}

impl Seen {
    /// The room, where it can be seen.
    pub fn space(&self) -> Option<&Space> {
        match self {
            Self::Space(space) => Some(space),
            Self::Unseen(_) => None,
        }
    }
}

/// Looks at the file system of the data root of the engine that the settings name.
///
/// # Errors
/// When the engine is asked and does not answer.
pub async fn look<E: Engine>(engine: &E, settings: &Settings) -> Result<Seen, EngineError> {
    let host = &settings.docker.host;
    if !host.starts_with("unix://") {
        return Ok(Seen::Unseen(format!("the daemon {host} is on another host")));
    }
    let file = settings.run_dir.join("data-root.json");
    if let Some(space) = known(&file, host).and_then(|root| Space::of(&root).ok()) {
        return Ok(Seen::Space(space));
    }
    let data_root = engine.data_root().await?;
    let seen = match Space::of(&data_root) {
        Ok(space) => {
            remember(&file, &Known { host: host.clone(), data_root });
            Seen::Space(space)
        }
        // A longshore in a container does not have the daemon's files before it.
        Err(error) => {
            Seen::Unseen(format!("the daemon's data root {}: {error}", data_root.display()))
        }
    };
    Ok(seen)
}

fn known(file: &Path, host: &str) -> Option<PathBuf> {
    let known: Known = serde_json::from_slice(&shared_file::read(file).ok()?).ok()?;
    (known.host == host).then_some(known.data_root)
}

/// What cannot be remembered is asked for again.
fn remember(file: &Path, known: &Known) {
    let Ok(text) = serde_json::to_vec(known) else { return };
    drop(shared_file::replace(file, &text, 0o600));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::host::shared_file::tests::pipe;

    #[test]
    fn a_directory_tells_its_file_system() {
        let directory = tempfile::tempdir().unwrap();
        let space = Space::of(directory.path()).unwrap();
        assert!(space.free_bytes <= space.bytes && space.bytes > 0, "{space:?}");
        assert!(space.free_inodes <= space.inodes, "{space:?}");
        Space::of(&directory.path().join("nothing")).unwrap_err();
    }

    #[test]
    fn what_is_remembered_is_another_daemons_or_torn() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("data-root.json");
        remember(&file, &Known { host: "unix:///a".into(), data_root: "/data".into() });
        assert_eq!(known(&file, "unix:///a"), Some("/data".into()));
        assert_eq!(known(&file, "unix:///b"), None);
        fs::write(&file, "{\"host\":").unwrap();
        assert_eq!(known(&file, "unix:///a"), None);
        fs::remove_file(&file).unwrap();
        pipe(&file);
        assert_eq!(known(&file, "unix:///a"), None);
        remember(&file, &Known { host: "unix:///a".into(), data_root: "/data".into() });
        assert_eq!(known(&file, "unix:///a"), Some("/data".into()));
    }
}
