//! The lockout breaker: Vault locks a role for every host that shares it after five bad logins, so the
//! jobs of a host log in one after the other, and none tries again what was refused. The marker that
//! a refusal leaves holds no secret: it names the secret id by its file's inode and times, or by 16 bits
//! of a salted digest.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::secret_id::Credentials;
use super::{Lockout, VaultError, VaultSettings};
use crate::secrets::Secret;

/// As long as a lockout lasts by default.
const COOLS_OFF: Duration = Duration::from_mins(15);
/// More than any marker has.
const MOST_BYTES: u64 = 1 << 16;
/// Opening does not wait for who is at the other end of a pipe.
const AT_ONCE: i32 = OFlags::NONBLOCK.bits().cast_signed();
/// How often a login that waits for its turn looks. A login takes two to three milliseconds.
const TURN: Duration = Duration::from_millis(3);

/// What was refused, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    /// Address, namespace and mount.
    login: String,
    /// Of the two prints.
    salt: u32,
    /// Of the role id.
    role: u16,
    /// The secret id, as it was.
    secret_id: Identity,
    /// Unix seconds.
    refused_at: u64,
}

/// Tells a secret id from another one without being it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Identity {
    /// A file that was not written or replaced since.
    File { inode: (u64, u64), changed: (i64, i64) },
    /// The print of a command's output. One of 65536 others looks the same, for 15 minutes.
    Print(u16),
}

/// One host's breaker for one login.
pub(super) struct Breaker<'a> {
    lockout: Option<&'a Lockout>,
    /// Address, namespace and mount, for messages too.
    login: String,
    /// Where the secret id is, for messages.
    place: String,
    /// From before it was read: a file that is replaced meanwhile then counts as a new one.
    file: Option<Identity>,
}

impl<'a> Breaker<'a> {
    /// `login` says where the login goes. Without a marker in the settings it never breaks.
    pub(super) fn new(settings: &'a VaultSettings, login: String) -> Self {
        let secret_id = &settings.approle.secret_id;
        let file = secret_id.file().and_then(|path| identity(&path).ok());
        Self { lockout: settings.lockout.as_ref(), login, place: secret_id.place(), file }
    }

    /// Waits for the other logins of this host, so that a secret id that went bad is sent by one of
    /// them and not by twenty. The turn ends when the file is dropped.
    pub(super) async fn turn(&self, deadline: Instant) -> Option<File> {
        let path = PathBuf::from(format!("{}.lock", self.lockout?.marker.display()));
        let mut options = fs::OpenOptions::new();
        // Where there can be no lock, there is no marker either.
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(AT_ONCE);
        let file = options.open(path).ok()?;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() >= deadline {
                return None;
            }
            sleep(TURN).await;
        }
        Some(file)
    }

    /// Fails while the same secret id would be refused again.
    pub(super) fn check(&self, credentials: &Credentials) -> Result<(), VaultError> {
        let Some(lockout) = self.lockout else {
            return Ok(());
        };
        // No marker, or none that can be read: the login itself will tell.
        let read = read(&lockout.marker).ok();
        let Some(marker) = read.and_then(|text| serde_json::from_slice::<Marker>(&text).ok())
        else {
            return Ok(());
        };
        match waits(&marker, &self.marker(lockout, credentials, marker.salt)) {
            Some(seconds) => Err(VaultError::Breaker {
                login: self.login.clone(),
                secret_id: self.place.clone(),
                seconds,
                marker: lockout.marker.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Remembers that the login was refused. `salt` is any number. Returns a remark where that fails.
    pub(super) fn trip(&self, credentials: &Credentials, salt: u32) -> Option<String> {
        let lockout = self.lockout?;
        let written = write(&lockout.marker, &self.marker(lockout, credentials, salt));
        let remark = |error| format!("{} could not be written ({error})", lockout.marker.display());
        written.err().map(remark)
    }

    /// Forgets: a login succeeded.
    pub(super) fn reset(&self) {
        if let Some(lockout) = self.lockout {
            // Mostly it is not there; one that stays is for a secret id that has changed or will.
            let _ = fs::remove_file(&lockout.marker);
        }
    }

    fn marker(&self, lockout: &Lockout, credentials: &Credentials, salt: u32) -> Marker {
        let now = (lockout.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        let of_secret_id = || Identity::Print(print(&credentials.secret_id, salt));
        Marker {
            login: self.login.clone(),
            salt,
            role: print(&credentials.role_id, salt),
            secret_id: self.file.clone().unwrap_or_else(of_secret_id),
            refused_at: now.as_secs(),
        }
    }
}

/// Too few bits to guess a secret by.
fn print(secret: &Secret, salt: u32) -> u16 {
    let digest = Sha256::new().chain_update(salt.to_le_bytes()).chain_update(secret.expose());
    let digest = digest.finalize();
    u16::from_le_bytes([digest[0], digest[1]])
}

fn identity(path: &Path) -> io::Result<Identity> {
    let facts = fs::metadata(path)?;
    let changed = (facts.mtime(), facts.mtime_nsec());
    Ok(Identity::File { inode: (facts.dev(), facts.ino()), changed })
}

/// Seconds to wait, if `now` would only repeat what was refused.
fn waits(refused: &Marker, now: &Marker) -> Option<u64> {
    let same = |marker: &Marker| (marker.login.clone(), marker.role, marker.secret_id.clone());
    // A clock that was set back makes it no longer than the whole time.
    let passed = now.refused_at.saturating_sub(refused.refused_at);
    let left = COOLS_OFF.as_secs().checked_sub(passed)?;
    (same(refused) == same(now) && left > 0).then_some(left)
}

/// What is no file, a pipe that nobody writes to, is not waited on.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::OpenOptions::new().read(true).custom_flags(AT_ONCE).open(path)?;
    let mut text = Vec::new();
    if file.metadata()?.is_file() {
        file.take(MOST_BYTES).read_to_end(&mut text)?;
    }
    Ok(text)
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
        let secret_id = Identity::File { inode: (1, 2), changed: (3, 4) };
        Marker { login: "here".into(), salt: 7, role: 1, secret_id, refused_at }
    }

    #[test]
    fn waits_for_the_same_file_only_and_not_for_ever() {
        assert_eq!(waits(&marker(1000), &marker(1000)), Some(900));
        assert_eq!(waits(&marker(1000), &marker(1899)), Some(1));
        assert_eq!(waits(&marker(1000), &marker(1900)), None);
        assert_eq!(waits(&marker(1000), &marker(9999)), None);
        assert_eq!(waits(&marker(1000), &marker(10)), Some(900));
        let file = Identity::File { inode: (1, 2), changed: (3, 5) };
        for other in [
            Marker { secret_id: file, ..marker(1000) },
            Marker { secret_id: Identity::Print(3), ..marker(1000) },
            Marker { login: "there".into(), ..marker(1000) },
            Marker { role: 2, ..marker(1000) },
        ] {
            assert_eq!(waits(&marker(1000), &other), None, "{other:?}");
        }
    }

    #[test]
    fn a_print_depends_on_secret_and_salt() {
        let secret = Secret::new("one");
        assert_eq!(print(&secret, 1), print(&secret, 1));
        assert_ne!(print(&secret, 1), print(&secret, 2));
        assert_ne!(print(&secret, 1), print(&Secret::new("two"), 1));
    }
}
