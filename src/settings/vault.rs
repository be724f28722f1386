//! `[vault]` and `[vault.approle]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::Period;

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
    /// File with the role id, 0600.
    pub role_id_file: PathBuf,
    /// File with the secret id, 0600.
    pub secret_id_file: PathBuf,
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

impl VaultSettings {
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let loopback = ["http://127.", "http://localhost", "http://[::1]"];
        let plain = loopback.iter().any(|prefix| self.address.starts_with(prefix));
        if self.address.starts_with("https://") || plain {
            return Ok(());
        }
        let problem = "write https://HOST:PORT; plain http is for loopback only, secrets would travel in clear";
        Err(("vault.address".to_owned(), problem.to_owned()))
    }
}
