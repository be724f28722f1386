//! From the operator's settings to where secrets come from, and whose the access is.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use crate::plan::SecretRef;
use crate::secrets::vault::{
    AppRole, Keeping, Kept, Lockout, RoleId, SecretId, Vault, VaultSettings, kept_below,
};
use crate::secrets::{Fetched, SecretError, SecretSource};
use crate::settings::{AppRoleSettings, Settings};
use crate::world::World;

use super::call::Call;

/// The settings' Vault, or nothing.
pub struct Source(Option<Vault>);

/// The source that the settings name.
pub fn source(settings: &Settings, world: &World) -> Source {
    Source(reached(settings, world).map(Vault::new))
}

/// How the settings' Vault is reached, if they have one.
pub fn reached(settings: &Settings, world: &World) -> Option<VaultSettings> {
    let written = settings.vault.as_ref()?;
    let approle = AppRole {
        mount: written.approle.mount.clone(),
        role_id: role_id(&written.approle),
        secret_id: secret_id(&written.approle, world),
    };
    let client_certificate = written.client_cert_file.clone().zip(written.client_key_file.clone());
    Some(VaultSettings {
        namespace: written.namespace.clone(),
        ca_file: written.ca_file.clone(),
        client_certificate,
        allow_plaintext: written.allow_plaintext,
        connect_timeout: written.connect_timeout.0,
        timeout: written.timeout.0,
        deadline: written.deadline.0,
        lockout: Some(Lockout {
            marker: settings.run_dir.join("vault-lockout"),
            clock: world.clock,
        }),
        ..VaultSettings::new(&written.address, approle)
    })
}

/// Settings with none of the three, or more than one, are refused when they are read.
fn secret_id(written: &AppRoleSettings, world: &World) -> SecretId {
    if let Some(name) = &written.secret_id_credential {
        let directory = world.variable("CREDENTIALS_DIRECTORY").map(Into::into);
        return SecretId::Credential { name: name.clone(), directory };
    }
    match (&written.secret_id_command, &written.secret_id_file) {
        (Some(argv), _) => SecretId::Command(argv.clone()),
        (None, file) => SecretId::File(file.clone().unwrap_or_default()),
    }
}

/// Settings with neither or both of the two are refused when they are read.
fn role_id(written: &AppRoleSettings) -> RoleId {
    match (&written.role_id, &written.role_id_file) {
        (Some(value), _) => RoleId::Value(value.clone()),
        (None, file) => RoleId::File(file.clone().unwrap_or_default()),
    }
}

impl Source {
    /// The same for one job: a token that its leases hang on is kept until it ends.
    #[must_use]
    pub fn of_job(self, call: &Call<'_>) -> Self {
        let run_dir = call.settings.run_dir.clone();
        match (self.0, call.holder()) {
            (Some(vault), Some(holder)) => {
                Self(Some(vault.keeping(Keeping { holder, run_dir, clock: call.world.clock })))
            }
            (vault, _) => Self(vault),
        }
    }

    /// Renews what the job's leases hang on; never returns. `tell` hears what cannot be renewed.
    pub async fn renew(&self, tell: impl FnMut(String)) -> Infallible {
        provide_tls();
        match &self.0 {
            Some(vault) => vault.renew(tell).await,
            None => std::future::pending().await,
        }
    }

    /// Ends one kept token.
    ///
    /// # Errors
    /// A sentence that names it; it stays where it is then.
    pub async fn end(&self, path: &Path, kept: &Kept, now_unix: u64) -> Result<(), String> {
        provide_tls();
        match &self.0 {
            Some(vault) => vault.end(path, kept, now_unix).await,
            None => Err(format!(
                "the Vault token with accessor {} is of {}, and the settings have no [vault] any more",
                kept.accessor, kept.address
            )),
        }
    }
}

/// All tokens that are kept on this host, with their files.
pub fn kept(settings: &Settings) -> Vec<(PathBuf, Kept)> {
    kept_below(&settings.run_dir)
}

/// The first client of a process builds it; the second time it is there already.
fn provide_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

impl SecretSource for Source {
    async fn fetch(&self, wanted: &[SecretRef]) -> Result<Fetched, SecretError> {
        provide_tls();
        match &self.0 {
            // Settings with secrets and without [vault] are refused, so nothing can be wanted then.
            None => Ok(Fetched::default()),
            Some(vault) => vault.fetch(wanted).await,
        }
    }

    async fn release(&self) -> Vec<String> {
        provide_tls();
        match &self.0 {
            None => Vec::new(),
            Some(vault) => vault.release().await,
        }
    }
}
