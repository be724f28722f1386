//! What Init writes into a container: directories and secret files, the user's own. A secret goes into memory or
//! nowhere.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::agent::identity::Account;
use crate::agent::protocol::{Refusal, SecretFile};

/// `TMPFS_MAGIC` and `RAMFS_MAGIC`, see statfs(2).
const MEMORY_FILESYSTEMS: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Makes a directory and its parents.
pub(super) fn create_directory(path: &str, mode: u32) -> Result<(), Refusal> {
    let created = DirBuilder::new().recursive(true).mode(mode).create(path);
    created.map_err(|error| refusal("create directory", path, &error))
}

/// Makes it the user's.
pub(super) fn give(path: &str, account: &Account) -> Result<(), Refusal> {
    std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
        .map_err(|error| refusal("change the owner of", path, &error))
}

/// Writes a secret for the user, with the mode that was asked for.
pub(super) fn write_secret(file: &SecretFile, account: &Account) -> Result<(), Refusal> {
    let path = file.path.as_str();
    if let Some(parent) = Path::new(path).parent().and_then(Path::to_str) {
        create_directory(parent, 0o755)?;
        let kind = rustix::fs::statfs(parent)
            .map_err(|error| refusal("look at", parent, &error.into()))?;
        if !MEMORY_FILESYSTEMS.contains(&kind.f_type) {
            return Err(Refusal::NotTmpfs { path: path.to_owned() });
        }
    }
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(file.mode & 0o777).open(path);
    let written = created.and_then(|mut open: File| {
        // The mode of a new file is cut by the umask.
        open.set_permissions(Permissions::from_mode(file.mode & 0o777))?;
        open.write_all(file.content.0.expose())
    });
    written.map_err(|error| refusal("write", path, &error))?;
    give(path, account)
}

fn refusal(verb: &str, path: &str, error: &std::io::Error) -> Refusal {
    let errno = error.raw_os_error().unwrap_or_default();
    Refusal::Path { verb: verb.to_owned(), path: path.to_owned(), errno }
}
