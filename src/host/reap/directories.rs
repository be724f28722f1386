//! The directories that a runner makes for its jobs (`custom-executorN`, with every script and every variable
//! in it) and that stay where it is killed. `config` notes down what they are; they go once their runner is
//! gone. A runner that lives removes its own.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::{owner, shared_file};
use crate::secrets::vault::Holder;
use crate::settings::Settings;
use crate::stage::call::Call;

/// The directory of the notes below `state_dir`: a host that went down leaves such directories too.
pub(super) const NOTES: &str = "directories";

/// What the runner calls them. Source: GitLab Runner, `executors/custom`.
const PREFIX: &str = "custom-executor";

/// One directory, told apart from what may come to stand at its path later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Whose it is.
    pub holder: Holder,
    /// Where.
    pub path: PathBuf,
    device: u64,
    inode: u64,
    /// Device and inode of the directory that it is in.
    #[serde(default)]
    parent: (u64, u64),
    #[serde(skip)]
    note: PathBuf,
}

/// Notes down the directory that the runner made for this job's call.
///
/// # Errors
/// When the note cannot be written.
pub fn note(call: &Call<'_>) -> io::Result<()> {
    let response = call.world.variable("JOB_RESPONSE_FILE").map(Path::new);
    let Some(path) = response.and_then(Path::parent).filter(|path| is_named_so(path)) else {
        return Ok(());
    };
    let Some(holder) = call.holder() else { return Ok(()) };
    let (device, inode) = identity(path)?;
    let parent = path.parent().map(identity).transpose()?.unwrap_or_default();
    let notes = call.settings.state_dir.join(NOTES);
    fs::DirBuilder::new().recursive(true).mode(0o750).create(&notes)?;
    let file = notes.join(&holder.job);
    let note = file.clone();
    let one = Noted { holder, path: path.to_owned(), device, inode, parent, note };
    shared_file::replace(&file, &serde_json::to_vec(&one)?, 0o600)
}

/// All that is noted. What cannot be read is passed over.
pub fn all(settings: &Settings) -> Vec<Noted> {
    // No notes means that no job was ever begun.
    let Ok(entries) = fs::read_dir(settings.state_dir.join(NOTES)) else { return Vec::new() };
    let mut all: Vec<Noted> = entries.flatten().filter_map(|entry| read(entry.path())).collect();
    all.sort_by(|left, right| left.path.cmp(&right.path));
    all
}

fn read(note: PathBuf) -> Option<Noted> {
    let noted: Noted = serde_json::from_slice(&shared_file::read(&note).ok()?).ok()?;
    Some(Noted { note, ..noted })
}

/// Removes a job's note where the runner has removed its directory by now; else the next reap does.
pub fn forget_gone(settings: &Settings, job: &str) {
    let note = settings.state_dir.join(NOTES).join(job);
    if let Some(noted) = read(note)
        && !noted.is_there()
    {
        // A note that stays is looked at again by the next reap.
        drop(noted.forget());
    }
}

impl Noted {
    /// Whether the very directory is there: ours, nobody else's to read, and none that has taken its path.
    pub fn is_there(&self) -> bool {
        let us = rustix::process::geteuid().as_raw();
        is_named_so(&self.path)
            && fs::symlink_metadata(&self.path).is_ok_and(|facts| {
                let same = (facts.dev(), facts.ino()) == (self.device, self.inode);
                same && facts.is_dir() && facts.uid() == us && facts.mode() & 0o777 == 0o700
            })
    }

    /// Whether it cannot be seen from here, though it may be there: its runner has a `/tmp` of its own
    /// (`PrivateTmp`). A `prepare` of that runner sees it. Nothing of it outlives the boot.
    pub fn is_hidden(&self) -> bool {
        let parent = self.path.parent().map(identity);
        let elsewhere = parent.is_some_and(|seen| seen.is_ok_and(|seen| seen != self.parent));
        elsewhere && owner::is_of_this_boot(&self.holder.owner)
    }

    /// Removes it with all that is in it, and its note.
    ///
    /// # Errors
    /// When something in it cannot be removed; the note stays then.
    pub fn remove(&self) -> io::Result<()> {
        if self.is_there() {
            fs::remove_dir_all(&self.path)?;
        }
        self.forget()
    }

    /// Removes the note.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        fs::remove_file(&self.note)
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let facts = fs::symlink_metadata(path)?;
    Ok((facts.dev(), facts.ino()))
}

fn is_named_so(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    path.is_absolute() && name.is_some_and(|name| name.starts_with(PREFIX))
}
