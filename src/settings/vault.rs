//! `[vault]` and `[vault.approle]`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::Period;
use crate::secrets::Secret;

/// `[vault]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultSettings {
    /// `https://host:port`; `http://` for loopback only.
    pub address: String,
    /// Namespace.
    pub namespace: Option<String>,
    /// Then only this CA is trusted; else the host's own.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the certificate we show.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file of its key.
    pub client_key_file: Option<PathBuf>,
    /// Speak plain `http://` to other hosts than this one.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// For one connection.
    #[serde(default = "three_seconds")]
    pub connect_timeout: Period,
    /// For one request.
    #[serde(default = "ten_seconds")]
    pub timeout: Period,
    /// For all of a job's requests.
    #[serde(default = "sixty_seconds")]
    pub deadline: Period,
    /// How to log in.
    pub approle: AppRoleSettings,
}

/// `[vault.approle]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRoleSettings {
    /// Where `AppRole` is mounted.
    #[serde(default = "approle")]
    pub mount: String,
    /// The role id, which is less than a secret; or [`Self::role_id_file`].
    #[serde(default, deserialize_with = "secret")]
    pub role_id: Option<Secret>,
    /// File with the role id, 0600.
    pub role_id_file: Option<PathBuf>,
    /// File with the secret id, 0600; or one of the next two.
    pub secret_id_file: Option<PathBuf>,
    /// Name of a systemd credential of the runner's service.
    pub secret_id_credential: Option<String>,
    /// Program and arguments of a command that prints the secret id.
    pub secret_id_command: Option<Vec<String>>,
    /// The role's name, which only `longshore vault` needs: the API knows roles by it.
    pub role: Option<String>,
}

fn three_seconds() -> Period {
    Period::seconds(3)
}

fn ten_seconds() -> Period {
    Period::seconds(10)
}

fn sixty_seconds() -> Period {
    Period::seconds(60)
}

fn approle() -> String {
    "approle".to_owned()
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    String::deserialize(deserializer).map(|text| Some(Secret::new(text)))
}

impl VaultSettings {
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let fail = |key: &str, problem: &str| Err((format!("vault.{key}"), problem.to_owned()));
        if !self.is_address_allowed() {
            let problem = "write https://HOST:PORT; plain http is for loopback only, secrets would travel in clear";
            return fail("address", problem);
        }
        if self.client_cert_file.is_some() != self.client_key_file.is_some() {
            return fail("client_cert_file", "belongs to client_key_file: give both or none");
        }
        let role = &self.approle;
        if role.role_id.is_some() == role.role_id_file.is_some() {
            return fail("approle", "give one of role_id and role_id_file, and only one");
        }
        role.check()?;
        // The runner calls us from a new directory each time.
        let files = [
            &self.ca_file,
            &self.client_cert_file,
            &self.client_key_file,
            &role.role_id_file,
            &role.secret_id_file,
        ];
        match files.into_iter().flatten().find(|file| !file.is_absolute()) {
            Some(file) => fail(
                "approle",
                &format!("{} is a relative path; write an absolute one", file.display()),
            ),
            None => Ok(()),
        }
    }

    fn is_address_allowed(&self) -> bool {
        let loopback = ["http://127.", "http://localhost", "http://[::1]"];
        let plain = loopback.iter().any(|prefix| self.address.starts_with(prefix));
        let any = self.allow_plaintext && self.address.starts_with("http://");
        self.address.starts_with("https://") || plain || any
    }
}

impl AppRoleSettings {
    fn check(&self) -> Result<(), (String, String)> {
        let fail =
            |key: &str, problem: &str| Err((format!("vault.approle{key}"), problem.to_owned()));
        let given = [
            self.secret_id_file.is_some(),
            self.secret_id_credential.is_some(),
            self.secret_id_command.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return fail(
                "",
                "give one of secret_id_file, secret_id_credential and secret_id_command, and only one",
            );
        }
        if self.secret_id_credential.as_deref().is_some_and(|name| !is_one_word(name)) {
            return fail(
                ".secret_id_credential",
                "write the name alone that stands in the unit's LoadCredential=NAME:FILE",
            );
        }
        let program = self.secret_id_command.as_ref().map(|argv| argv.first());
        if program.is_some_and(|program| !program.is_some_and(|path| path.starts_with('/'))) {
            return fail(
                ".secret_id_command",
                "write a list, the program's absolute path first: [\"/usr/local/bin/secret-id\", \"ci\"]; \
                 no shell reads it",
            );
        }
        if self.role.as_deref().is_some_and(|role| !is_one_word(role)) {
            return fail(".role", "write the role's name alone, without auth/ and its mount");
        }
        Ok(())
    }
}

/// A name that is one part of a path.
fn is_one_word(name: &str) -> bool {
    let plain = |character: char| character.is_ascii_graphic() && !"/?#%".contains(character);
    !matches!(name, "" | "." | "..") && name.chars().all(plain)
}
