//! From the operator's settings to where secrets come from. It says nothing of jobs.

use crate::plan::SecretRef;
use crate::secrets::vault::{AppRole, RoleId, Vault, VaultSettings};
use crate::secrets::{Fetched, SecretError, SecretSource};
use crate::settings::{AppRoleSettings, Settings};

/// The settings' Vault, or nothing.
pub struct Source(Option<Vault>);

/// The source that the settings name.
pub fn source(settings: &Settings) -> Source {
    Source(settings.vault.as_ref().map(|written| {
        Vault::new(VaultSettings {
            namespace: written.namespace.clone(),
            ca_file: written.ca_file.clone(),
            client_certificate: written
                .client_cert_file
                .clone()
                .zip(written.client_key_file.clone()),
            allow_plaintext: written.allow_plaintext,
            connect_timeout: written.connect_timeout.0,
            timeout: written.timeout.0,
            deadline: written.deadline.0,
            lockout_marker: Some(settings.run_dir.join("vault-lockout")),
            ..VaultSettings::new(
                &written.address,
                AppRole {
                    mount: written.approle.mount.clone(),
                    role_id: role_id(&written.approle),
                    secret_id_file: written.approle.secret_id_file.clone(),
                },
            )
        })
    }))
}

/// Settings with neither or both of the two are refused when they are read.
fn role_id(written: &AppRoleSettings) -> RoleId {
    match (&written.role_id, &written.role_id_file) {
        (Some(value), _) => RoleId::Value(value.clone()),
        (None, file) => RoleId::File(file.clone().unwrap_or_default()),
    }
}

impl SecretSource for Source {
    async fn fetch(&self, wanted: &[SecretRef]) -> Result<Fetched, SecretError> {
        match &self.0 {
            // Settings with secrets and without [vault] are refused, so nothing can be wanted then.
            None => Ok(Fetched::default()),
            Some(vault) => {
                // The first client of a process builds it; the second time it is there already.
                drop(rustls::crypto::ring::default_provider().install_default());
                vault.fetch(wanted).await
            }
        }
    }
}
