//! The calls that give a host a new secret id: out of a wrapping token, or by the role's own right. What
//! can only be had once is asked for once.

use std::path::Path;

use serde_json::Value;
use vaultrs::api::auth::approle::requests::{DeleteSecretIDRequest, GenerateNewSecretIDRequest};
use vaultrs::api::sys::requests::{UnwrapRequest, WrappingLookupRequest};

use super::VaultError;
use super::client::Failed;
use super::credential::{self, Readers};
use super::retry::Repeating;
use super::visit::Visit;
use crate::secrets::Secret;

/// A secret id that nobody has used yet.
pub struct NewSecretId {
    /// The id itself.
    pub secret_id: Secret,
    /// Names it without being it.
    pub accessor: String,
    /// Seconds that it lives; for ever where `None`.
    pub lives_seconds: Option<u64>,
    /// Logins that it serves; any number where `None`.
    pub uses: Option<u64>,
}

impl Visit<'_> {
    /// The path whose answer this token wraps. The token stays as it is.
    ///
    /// # Errors
    /// [`VaultError::Wrapping`] where the server knows no such token; any other failure.
    pub async fn wrapped_path(&self, wrapping_token: &Secret) -> Result<String, VaultError> {
        const PATH: &str = "sys/wrapping/lookup";
        let token = plain(wrapping_token)?;
        let lookup = || WrappingLookupRequest { token: token.clone() };
        let answer = self.session().ask(Repeating::Harmless, lookup).await;
        let answer = answer.and_then(|answer| {
            let path = answer["data"]["creation_path"].as_str().map(str::to_owned);
            path.ok_or(Failed::malformed("the answer does not say what the token wraps"))
        });
        answer
            .map_err(|failed| self.wrapping_failed("look the wrapping token up by", PATH, &failed))
    }

    /// Takes the secret id out of its wrapping, which ends the token. Is never sent twice: after a lost
    /// answer nobody knows who has it.
    ///
    /// # Errors
    /// [`VaultError::Wrapping`] where the server knows no such token; any other failure.
    pub async fn unwrap(&mut self, wrapping_token: &Secret) -> Result<NewSecretId, VaultError> {
        const PATH: &str = "sys/wrapping/unwrap";
        self.session_mut().carry(plain(wrapping_token)?);
        let unwrap = || UnwrapRequest { token: None };
        let answer = self.session().ask(Repeating::Never, unwrap).await;
        self.session_mut().carry(String::new());
        let answer = answer.and_then(|answer| new_secret_id(&answer));
        answer.map_err(|failed| self.wrapping_failed("unwrap the secret_id by", PATH, &failed))
    }

    /// Has the server make another secret id of the role. Is never sent twice: a lost answer would leave
    /// one behind that nobody knows.
    ///
    /// # Errors
    /// Any failure.
    pub async fn new_secret_id(&self, role: &str) -> Result<NewSecretId, VaultError> {
        let path = format!("{}/secret-id", self.role_path(role));
        let make = || GenerateNewSecretIDRequest {
            mount: self.mount().to_owned(),
            role_name: role.to_owned(),
            ..GenerateNewSecretIDRequest::default()
        };
        let answer = self.session().ask(Repeating::Never, make).await;
        let answer = answer.and_then(|answer| new_secret_id(&answer));
        answer.map_err(|failed| self.failed("make a new secret_id by", &path, &failed))
    }

    /// Ends the secret id that the visit logged in with; its token stays.
    ///
    /// # Errors
    /// Any failure.
    pub async fn destroy_used(&self, role: &str) -> Result<(), VaultError> {
        match self.used() {
            Some(secret_id) => self.destroy(role, secret_id).await,
            None => Ok(()),
        }
    }

    /// Ends a secret id of the role. Tokens that were got with it stay.
    ///
    /// # Errors
    /// Any failure.
    pub async fn destroy(&self, role: &str, secret_id: &Secret) -> Result<(), VaultError> {
        let path = format!("{}/secret-id/destroy", self.role_path(role));
        let secret_id = plain(secret_id)?;
        let destroy = || DeleteSecretIDRequest {
            mount: self.mount().to_owned(),
            role_name: role.to_owned(),
            secret_id: secret_id.clone(),
        };
        let answer = self.session().ask(Repeating::Harmless, destroy).await;
        answer
            .map(drop)
            .map_err(|failed| self.failed("destroy the old secret_id by", &path, &failed))
    }

    fn wrapping_failed(&self, doing: &'static str, path: &str, failed: &Failed) -> VaultError {
        if failed.failure.says("wrapping token is not valid") {
            return VaultError::Wrapping { at: self.at().to_owned() };
        }
        self.failed(doing, path, failed)
    }
}

/// The wrapping token that a file holds, which is held to what a secret id's file is.
///
/// # Errors
/// Whatever is wrong with the file.
pub fn read_token(path: &Path) -> Result<Secret, VaultError> {
    credential::read("--wrapping-token-file", path, Readers::Owner)
}

/// As text that fits into a header.
fn plain(secret: &Secret) -> Result<String, VaultError> {
    let unfit = |reason| VaultError::Setting { key: "--wrapping-token-file", reason };
    let secret = credential::one_line(secret.expose()).map_err(unfit)?;
    Ok(String::from_utf8_lossy(secret.expose()).into_owned())
}

/// Field by field: a deserialiser's error would quote the secret id.
fn new_secret_id(answer: &Value) -> Result<NewSecretId, Failed> {
    let data = &answer["data"];
    let secret_id = data["secret_id"].as_str().unwrap_or_default();
    let secret_id = credential::one_line(secret_id.as_bytes());
    let some = |value: &Value| value.as_u64().filter(|number| *number > 0);
    Ok(NewSecretId {
        secret_id: secret_id.map_err(|_| Failed::malformed("the answer holds no secret_id"))?,
        accessor: data["secret_id_accessor"].as_str().unwrap_or_default().to_owned(),
        lives_seconds: some(&data["secret_id_ttl"]),
        uses: some(&data["secret_id_num_uses"]),
    })
}
