//! Vault and `OpenBao`: log in with an `AppRole`, read what is wanted, revoke the token, all in one call.
//! The only place that knows vaultrs. It never prints a library's error, which may quote a secret.

mod address;
mod breaker;
mod client;
mod credential;
mod enrol;
mod error;
mod failure;
mod http;
mod kept;
mod lifetime;
mod message;
mod read;
mod renewal;
mod retry;
mod secret_id;
mod transport;
mod visit;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

pub use enrol::{NewSecretId, read_token};
pub use error::VaultError;
pub use kept::{Holder, Kept, Lease, Term};
pub use lifetime::Keeping;
pub use secret_id::SecretId;
pub use visit::{Layout, LoginFacts, SecretIdFacts, ServerState, Visit};

use super::{Fetched, Secret, SecretError, SecretSource};
use crate::plan::SecretRef;
use client::{Session, Token};
use lifetime::KeptToken;
use read::{Leased, Read};

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
    keeping: Option<Keeping>,
}

impl Vault {
    /// A source; contact is made by [`SecretSource::fetch`] only.
    ///
    /// The process must have installed its rustls provider (`rustls::crypto::ring`) before.
    pub fn new(settings: VaultSettings) -> Self {
        Self { settings, keeping: None }
    }

    /// Keeps a token that leases hang on until the job ends; without this, leased secrets are refused.
    #[must_use]
    pub fn keeping(self, keeping: Keeping) -> Self {
        Self { keeping: Some(keeping), ..self }
    }

    /// Renews what is kept for the job; never returns. `tell` hears what cannot be renewed.
    pub async fn renew(&self, tell: impl FnMut(String)) -> Infallible {
        match &self.keeping {
            Some(keeping) => renewal::renew(&self.settings, keeping, tell).await,
            None => std::future::pending().await,
        }
    }

    /// Ends one kept token and all that hangs on it.
    ///
    /// # Errors
    /// A sentence that names it; it stays where it is then, to be tried again.
    pub async fn end(&self, path: &Path, kept: &Kept, now_unix: u64) -> Result<(), String> {
        lifetime::end(&self.settings, path, kept, now_unix).await
    }

    /// Writes the token down, if it may lie anywhere and can be ended at all.
    fn keep(&self, token: &Token) -> Result<KeptToken, String> {
        let keeping = self.keeping.as_ref().ok_or("no token is kept by this call")?;
        if token.is_batch {
            return Err(
                "the role gives batch tokens, which cannot be ended (set token_type=service)"
                    .to_owned(),
            );
        }
        KeptToken::write(keeping, &self.settings, token)
    }

    /// Keeps the token where something hangs on it, else ends it. Answers warnings.
    async fn settle(
        &self,
        open: Open<'_>,
        leases: Vec<Leased>,
        read: Result<(), SecretError>,
    ) -> Result<Vec<String>, SecretError> {
        let Open { session, token, mut kept } = open;
        let read = match read {
            Ok(()) if !leases.is_empty() => match self.hang(&mut kept, leases) {
                Ok(warnings) => return Ok(warnings),
                Err(error) => Err(error.into()),
            },
            read => read,
        };
        let mut warning = session.revoke(token).await;
        match (kept, &mut warning) {
            (Ok(kept), None) => kept.forget(),
            (Ok(_), Some(warning)) => warning.push_str("; it is tried again when the job ends"),
            (Err(_), _) => {}
        }
        match (read, warning) {
            (Ok(()), warning) => Ok(warning.into_iter().collect()),
            (Err(error), None) => Err(error),
            (Err(error), Some(warning)) => {
                Err(SecretError::Unrevoked { error: Box::new(error), warning })
            }
        }
    }

    fn hang(
        &self,
        kept: &mut Result<KeptToken, String>,
        leases: Vec<Leased>,
    ) -> Result<Vec<String>, VaultError> {
        let hung = match (&self.keeping, kept) {
            (Some(keeping), Ok(kept)) => kept.hang(keeping, leases),
            (_, Err(why)) => Err(why.clone()),
            (None, _) => Err(String::new()),
        };
        hung.map_err(|why| {
            let reason = format!("leased secrets need their token until the job ends, but {why}");
            VaultError::Setting { key: "run_dir", reason }
        })
    }
}

/// A login and what came of it.
struct Open<'a> {
    session: &'a Session<'a>,
    token: &'a Token,
    /// Where it lies, or why it lies nowhere.
    kept: Result<KeptToken, String>,
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
        let kept = self.keep(&token);
        let mut read = Read::default();
        let done = read::all(&session, wanted, &mut read).await;
        let open = Open { session: &session, token: &token, kept };
        let mut warnings = self.settle(open, read.leases, done).await?;
        warnings.extend(token.facts().almighty().map(|policy| {
            format!(
                "the token that Vault gave for this job has the policy {policy:?}, which may do everything; give the \
                 role one of its own (longshore vault policy prints it, longshore vault check looks at it)"
            )
        }));
        let mask_too = token.mask_too().into_iter().chain(read.inside).collect();
        Ok(Fetched { secrets: read.secrets, mask_too, warnings })
    }

    async fn release(&self) -> Vec<String> {
        match &self.keeping {
            Some(keeping) => lifetime::release(&self.settings, keeping).await,
            None => Vec::new(),
        }
    }
}

/// Files below a `run_dir` that were to hold a token, but whose writer was killed before that; `lives` tells
/// whether there is a process of a number.
pub fn torn_below(run_dir: &Path, lives: impl Fn(u32) -> bool) -> Vec<PathBuf> {
    kept::torn(run_dir, lives)
}

/// All tokens that are kept below a `run_dir`, with the files they lie in.
pub fn kept_below(run_dir: &Path) -> Vec<(PathBuf, Kept)> {
    kept::all(run_dir)
}
