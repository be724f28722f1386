//! The volume that carries this very binary into the containers, filled once per daemon and version.
//!
//! Nothing asks beforehand whether it is filled: a container whose agent is not there yet does not
//! start, and then the volume is filled and the start tried again. The archive's last entry is the link
//! that the containers execute, so a volume that is just being filled looks like an empty one. An
//! archive upload, because a bind mount would break a dockerized runner and a remote daemon.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::call::Call;
use super::error::CallError;
use crate::engine::{Engine, EngineError};
use crate::host::shared_file::{self, Locked};
use crate::plan::container::{
    ContainerNetwork, ContainerPlan, IsolationPlan, Labels, LimitPlan, MountPlan, MountSource,
    ResolverPlan,
};
use crate::plan::{AGENT_MOUNT, AGENT_PATH};

/// The lock on filling it, in `run_dir`.
const LOCK: &str = "agent-volume.lock";

/// The name of the volume that carries the binary at `executable`.
///
/// Hashing megabytes in each call would cost milliseconds, so the hash is of the file's identity:
/// version, size, modification time.
///
/// # Errors
/// When the file cannot be looked at.
pub fn name(executable: &Path) -> Result<String, CallError> {
    let metadata = fs::metadata(executable).map_err(|error| {
        let path = executable.display();
        CallError::system(format!("failed to look at our own binary {path}: {error}"))
    })?;
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(metadata.size().to_le_bytes());
    hash.update(metadata.mtime().to_le_bytes());
    hash.update(metadata.mtime_nsec().to_le_bytes());
    let digest = hash.finalize();
    let short = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    Ok(format!("longshore-agent-{short:08x}"))
}

/// Whether a container did not start because its agent volume is still empty.
pub fn is_missing(error: &EngineError) -> bool {
    error.cause.contains(AGENT_PATH) && error.cause.contains("no such file")
}

/// Whose turn it is to fill the volume, until dropped.
#[derive(Debug)]
pub struct Turn {
    /// Whether somebody else had it before: the volume may be filled by now.
    pub has_waited: bool,
    _lock: Locked,
}

/// Waits for the turn to fill it, one job of this `run_dir` at a time: each filler leaves a binary of its own there.
///
/// # Errors
/// When there can be no lock in `run_dir`.
pub async fn turn(call: &Call<'_>) -> Result<Turn, CallError> {
    let run_dir = call.settings.run_dir.clone();
    let take = move || {
        let open = || shared_file::open_lock(&run_dir, LOCK);
        if let Some(lock) = shared_file::try_lock(open()?)? {
            return Ok(Turn { has_waited: false, _lock: lock });
        }
        Ok(Turn { has_waited: true, _lock: shared_file::lock(open()?)? })
    };
    let taken: io::Result<Turn> = tokio::task::spawn_blocking(take)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    taken.map_err(|error| {
        let path = call.settings.run_dir.join(LOCK);
        CallError::system(format!(
            "failed to lock {}: {error}; check the setting run_dir",
            path.display()
        ))
    })
}

/// Fills a job's agent volume with our own binary, through a container of `image` that never starts.
///
/// # Errors
/// When the binary cannot be read or the engine refuses.
pub async fn fill<E: Engine>(engine: &E, call: &Call<'_>, image: &str) -> Result<(), CallError> {
    let executable = &call.world.executable;
    let filler = filler(call, image);
    let archive = archive(executable, &filler.name).map_err(|error| {
        let path = executable.display();
        CallError::system(format!("failed to pack our own binary {path}: {error}"))
    })?;
    engine.remove_container(&filler.name).await?;
    let uploaded = match engine.create(&filler).await {
        Ok(_) => engine.upload(&filler.name, AGENT_MOUNT, archive).await,
        Err(error) => Err(error),
    };
    // After a failed creation too: it may have had its effect, and only the answer was lost.
    let removed = engine.remove_container(&filler.name).await;
    uploaded?;
    removed?;
    Ok(())
}

/// Its labels let `reap` find it where we are killed before its removal.
fn filler(call: &Call<'_>, image: &str) -> ContainerPlan {
    let source = MountSource::Volume {
        name: call.plan.agent_volume.clone(),
        labels: Labels::from([("longshore.kind".to_owned(), "agent".to_owned())]),
        tmpfs_bytes: None,
    };
    ContainerPlan {
        // Fillers of two jobs may be at work side by side; each writes a file of its own.
        name: call.plan.key.name("filler"),
        image: image.to_owned(),
        platform: None,
        entrypoint: vec![AGENT_PATH.to_owned()],
        user: "0:0".to_owned(),
        env: std::collections::BTreeMap::new(),
        hostname: None,
        network: ContainerNetwork::Named { name: "none".to_owned(), aliases: Vec::new() },
        mounts: vec![MountPlan { target: AGENT_MOUNT.to_owned(), source, read_only: false }],
        limits: LimitPlan::default(),
        isolation: IsolationPlan::default(),
        resolver: ResolverPlan::default(),
        capabilities: Vec::new(),
        security: Vec::new(),
        labels: call.passing_labels("filler"),
        own_process: None,
    }
}

/// With the binary under a name of its filler's own: an upload removes what it replaces before it writes, and
/// another job may be about to start by then. Of a link that is the blink of an eye, of the binary it is not.
fn archive(executable: &Path, name: &str) -> io::Result<Bytes> {
    let binary = fs::read(executable)?;
    let mut tar = Builder::new(Vec::with_capacity(binary.len() + 8192));
    let mut header = Header::new_gnu();
    header.set_mode(0o755);
    for directory in ["store/", "bin/"] {
        header.set_entry_type(EntryType::Directory);
        header.set_size(0);
        tar.append_data(&mut header, directory, io::empty())?;
    }
    header.set_entry_type(EntryType::Regular);
    header.set_size(binary.len() as u64);
    tar.append_data(&mut header, format!("store/{name}"), binary.as_slice())?;
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    for link in ["bin/gitlab-runner", "bin/longshore"] {
        tar.append_link(&mut header, link, format!("../store/{name}"))?;
    }
    Ok(Bytes::from(tar.into_inner()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_that_containers_execute_comes_last() {
        let directory = tempfile::tempdir().unwrap();
        let binary = directory.path().join("binary");
        fs::write(&binary, b"ELF").unwrap();
        let bytes = archive(&binary, "longshore-7-ab-filler").unwrap();
        let mut tar = tar::Archive::new(&bytes[..]);
        let names: Vec<String> = tar
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(
            names,
            ["store/", "bin/", "store/longshore-7-ab-filler", "bin/gitlab-runner", "bin/longshore"]
        );
    }

    #[test]
    fn another_build_has_another_volume() {
        let directory = tempfile::tempdir().unwrap();
        let binary = directory.path().join("binary");
        fs::write(&binary, b"one").unwrap();
        let first = name(&binary).unwrap();
        assert_eq!(name(&binary).unwrap(), first);
        fs::write(&binary, b"other").unwrap();
        assert_ne!(name(&binary).unwrap(), first);
    }
}
