//! From the operator's settings to where secrets come from. It says nothing of jobs.

use crate::secrets::vault::{AppRole, Lockout, RoleId, SecretId, Vault, VaultSettings};
use crate::secrets::{Fetched, SecretError, SecretRef, SecretSource};
use crate::settings::{AppRoleSettings, Settings};
use crate::world::World;

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
