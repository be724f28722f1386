//! The user that a container's stages run as, and where that is at home: what the image says, or what is made
//! for a user it does not know. It decides nothing about rights.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;

use super::files::{create_directory, give};
use crate::agent::identity::{self, Account};
use crate::agent::protocol::{Identity, Refusal};

/// Who that is in this image.
pub(super) fn resolve(identity: &Identity) -> Result<Account, Refusal> {
    // An image without these files (built from scratch) still has root and numbers.
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    let group = std::fs::read("/etc/group").unwrap_or_default();
    let (passwd, group) = (String::from_utf8_lossy(&passwd), String::from_utf8_lossy(&group));
    identity::resolve(identity, &passwd, &group)
}

/// The stages' home: what the image itself set, else the user's of passwd.
///
/// PID 1 runs as root, so the engine may have put root's home into our environment; that is no
/// statement of the image.
pub(super) fn home(
    account: &Account,
    identity: &Identity,
    environment: &[(OsString, OsString)],
) -> String {
    let given = environment.iter().rev().find(|(name, _)| name == "HOME");
    let given = given.and_then(|(_, home)| home.to_str()).unwrap_or_default();
    let roots = resolve(&Identity::Image(String::new())).ok().and_then(|root| root.home);
    let by_engine = given.is_empty() || given == "/" || roots.is_some_and(|home| home == given);
    match (&account.home, identity) {
        (_, Identity::Image(_)) if !by_engine => given.to_owned(),
        (Some(home), _) if !home.is_empty() => home.clone(),
        (_, Identity::Numeric { .. }) => make_home(account),
        _ => "/".to_owned(),
    }
}

/// Provides a home directory and a passwd line for a user the image does not know.
///
/// Git and ssh ask passwd for the home; where the image is read-only they have to do with `HOME`.
fn make_home(account: &Account) -> String {
    let Account { uid, gid, .. } = account;
    let home = ["/home", "/tmp"]
        .iter()
        .map(|parent| format!("{parent}/longshore-{uid}"))
        .find(|home| create_directory(home, 0o700).and_then(|()| give(home, account)).is_ok());
    let home = home.unwrap_or_else(|| "/".to_owned());
    if account.user.is_none()
        && let Ok(mut passwd) = OpenOptions::new().append(true).open("/etc/passwd")
    {
        let _ = writeln!(passwd, "job:x:{uid}:{gid}::{home}:/bin/sh");
    }
    home
}
