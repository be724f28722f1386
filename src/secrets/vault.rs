//! Vault and `OpenBao`: log in with an `AppRole`, read what is wanted, revoke the token, all in one call.
//! The only place that knows vaultrs. It never prints a library's error, which may quote a secret.

mod address;
mod breaker;
mod client;
mod credential;
mod error;
mod failure;
mod http;
mod message;
mod read;
mod retry;
mod secret_id;
mod transport;
mod visit;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

pub use error::VaultError;
pub use secret_id::SecretId;
pub use visit::{Layout, LoginFacts, SecretIdFacts, ServerState, Visit};

use super::{Fetched, Secret, SecretError, SecretRef, SecretSource};
use client::Session;

/// How Vault is reached, from the operator's settings.
#[derive(Debug, Clone)]
pub struct VaultSettings {
    /// `https://host:port` without a path. `http://` for loopback only, unless [`Self::allow_plaintext`].
    pub address: String,
    /// Vault Enterprise or `OpenBao` namespace.
    pub namespace: Option<String>,
    /// PEM file; then only these authorities are trusted, else the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of a certificate and its key that we show.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Time for one connection.
    pub connect_timeout: Duration,
    /// Time for one request.
    pub timeout: Duration,
    /// Time for login and reads together, tries and pauses included. Revoking has its own 15 seconds.
    pub deadline: Duration,
    /// Speak `http://` to other hosts as well.
    pub allow_plaintext: bool,
    /// What keeps this host from locking the role out for all. Every job tries anew for `None`.
    pub lockout: Option<Lockout>,
    /// The credentials.
    pub approle: AppRole,
}

/// Credentials of an `AppRole`.
#[derive(Debug, Clone)]
pub struct AppRole {
    /// Where the auth method is mounted, `approle` by default.
    pub mount: String,
    /// The role's id.
    pub role_id: RoleId,
    /// Where the secret id comes from.
    pub secret_id: SecretId,
}

/// How a refused login is remembered.
#[derive(Debug, Clone)]
pub struct Lockout {
    /// The file; beside it `.lock` is made. Their directory has to exist and be ours alone.
    pub marker: PathBuf,
    /// What time it is: the memory is for 15 minutes.
    pub clock: fn() -> SystemTime,
}

/// A role id, which is less than a secret.
#[derive(Debug, Clone)]
pub enum RoleId {
    /// In the settings.
    Value(Secret),
    /// In a file that is held to what [`SecretId::File`] is.
    File(PathBuf),
}

impl VaultSettings {
    /// Settings with the default times, no namespace and the system's authorities.
    pub fn new(address: impl Into<String>, approle: AppRole) -> Self {
        Self {
            address: address.into(),
            namespace: None,
            ca_file: None,
            client_certificate: None,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            deadline: Duration::from_mins(1),
            allow_plaintext: false,
            lockout: None,
            approle,
        }
    }
}

/// A source of secrets that is a Vault server.
pub struct Vault {
    settings: VaultSettings,
}

impl Vault {
    /// A source; contact is made by [`SecretSource::fetch`] only.
    ///
    /// The process must have installed its rustls provider (`rustls::crypto::ring`) before.
    pub fn new(settings: VaultSettings) -> Self {
        Self { settings }
    }
}

impl SecretSource for Vault {
    async fn fetch(&self, wanted: &[SecretRef]) -> Result<Fetched, SecretError> {
        if wanted.is_empty() {
            return Ok(Fetched::default());
        }
        read::check(wanted)?;
        let deadline = Instant::now() + self.settings.deadline;
        let mut session = Session::connect(&self.settings, deadline)?;
        let token = session.login().await?;
        let read = read::all(&session, wanted).await;
        let warning = session.revoke(&token).await;
        match (read, warning) {
            (Ok(secrets), warning) => Ok(Fetched {
                secrets,
                mask_too: token.mask_too(),
                warnings: warning.into_iter().collect(),
            }),
            (Err(error), None) => Err(error),
            (Err(error), Some(warning)) => {
                Err(SecretError::Unrevoked { error: Box::new(error), warning })
            }
        }
    }
}
