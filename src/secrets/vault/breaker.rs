//! The lockout breaker: Vault locks a role for every host that shares it after five bad logins, so a
//! host whose login was refused does not try again before its secret id is another one. The marker it
//! leaves holds no secret: it names the file by inode and times.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{VaultError, VaultSettings};

/// As long as a lockout lasts by default.
const COOLS_OFF: Duration = Duration::from_mins(15);

/// What was refused, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    /// Address, namespace and mount.
    login: String,
    /// Which file held the refused secret id, as it was.
    file: Identity,
    /// Unix seconds.
    refused_at: u64,
}

/// Tells a file that was written or replaced from what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    inode: (u64, u64),
    changed: (i64, i64),
}

/// One host's breaker for one login.
pub(super) struct Breaker<'a> {
    marker: Option<&'a Path>,
    secret_id_file: &'a Path,
    login: String,
}

impl<'a> Breaker<'a> {
    /// `login` says where the login goes. Without a marker file in the settings it never breaks.
    pub(super) fn new(settings: &'a VaultSettings, login: String) -> Self {
        Self {
            marker: settings.lockout_marker.as_deref(),
            secret_id_file: &settings.approle.secret_id_file,
            login,
        }
    }

    /// Fails while the same secret id would be refused again.
    pub(super) fn check(&self) -> Result<(), VaultError> {
        let Some(path) = self.marker else {
            return Ok(());
        };
        // No marker, or none that can be read: the login itself will tell.
        let Ok(text) = fs::read(path) else {
            return Ok(());
        };
        let Ok(marker) = serde_json::from_slice::<Marker>(&text) else {
            return Ok(());
        };
        let Ok(now) = self.marker_of_now() else {
            return Ok(());
        };
        match waits(&marker, &now) {
            Some(seconds) => Err(VaultError::Breaker {
                login: self.login.clone(),
                secret_id_file: self.secret_id_file.to_owned(),
                seconds,
                marker: path.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Remembers that the secret id was refused. Returns a remark where that fails.
    pub(super) fn trip(&self) -> Option<String> {
        let path = self.marker?;
        let written = self.marker_of_now().and_then(|marker| write(path, &marker));
        let remark = |error| format!("{} could not be written ({error})", path.display());
        written.err().map(remark)
    }

    /// Forgets: a login succeeded.
    pub(super) fn reset(&self) {
        if let Some(path) = self.marker {
            // Mostly it is not there; one that stays is for a file that has changed or will.
            let _ = fs::remove_file(path);
        }
    }

    fn marker_of_now(&self) -> io::Result<Marker> {
        let facts = fs::metadata(self.secret_id_file)?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Marker {
            login: self.login.clone(),
            file: Identity {
                inode: (facts.dev(), facts.ino()),
                changed: (facts.mtime(), facts.mtime_nsec()),
            },
            refused_at: since_epoch.as_secs(),
        })
    }
}

/// Seconds to wait, if `now` would only repeat what was refused.
fn waits(refused: &Marker, now: &Marker) -> Option<u64> {
    let is_same = refused.login == now.login && refused.file == now.file;
    // A clock that was set back makes it no longer than the whole time.
    let passed = now.refused_at.saturating_sub(refused.refused_at);
    let left = COOLS_OFF.as_secs().checked_sub(passed)?;
    (is_same && left > 0).then_some(left)
}

fn write(path: &Path, marker: &Marker) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let temporary = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    serde_json::to_writer(file, marker)?;
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(refused_at: u64) -> Marker {
        let file = Identity { inode: (1, 2), changed: (3, 4) };
        Marker { login: "here".into(), file, refused_at }
    }

    #[test]
    fn waits_for_the_same_file_only_and_not_for_ever() {
        assert_eq!(waits(&marker(1000), &marker(1000)), Some(900));
        assert_eq!(waits(&marker(1000), &marker(1899)), Some(1));
        assert_eq!(waits(&marker(1000), &marker(1900)), None);
        assert_eq!(waits(&marker(1000), &marker(9999)), None);
        assert_eq!(waits(&marker(1000), &marker(10)), Some(900));
        let mut other = marker(1000);
        other.file.changed.1 += 1;
        assert_eq!(waits(&marker(1000), &other), None);
        let mut other = marker(1000);
        other.login = "there".into();
        assert_eq!(waits(&marker(1000), &other), None);
    }
}
