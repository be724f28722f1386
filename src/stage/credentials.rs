//! Finds the login for an image: the first place of its plan that has one. It reads the operator's Docker
//! configuration and asks its credential helpers; passwords from Vault it is given.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::RegistryLogin;
use crate::plan::ImageSource;
use crate::plan::auth_config::AuthConfig;
use crate::plan::login::{self, Login, VaultLogin};
use crate::secrets::{Fetched, Secret};
use crate::world::World;

use super::credential_helper;

/// The logins of one call.
pub struct Credentials<'a> {
    world: &'a World,
    passwords: BTreeMap<String, Secret>,
}

/// What was found for an image.
#[derive(Default)]
pub struct Found {
    /// The login; `None` asks as nobody.
    pub login: Option<RegistryLogin>,
    /// What was wrong with a place that should have had one, for the job log.
    pub warnings: Vec<String>,
}

impl<'a> Credentials<'a> {
    /// With these passwords from Vault.
    pub fn new(world: &'a World, fetched: Fetched) -> Self {
        let passwords = fetched.secrets.into_iter().map(|one| (one.name, one.value)).collect();
        Self { world, passwords }
    }

    /// The login for an image, from the first place that has one.
    pub async fn login(&self, source: &ImageSource) -> Found {
        let found = self.before_vault(source).await;
        if found.login.is_some() { found } else { self.from_vault_on(source, found) }
    }

    /// The login from a place that comes before Vault; none where no such place has one.
    pub async fn before_vault(&self, source: &ImageSource) -> Found {
        let plan = &source.login;
        let mut found = Found::default();
        let mut chosen = plan.auth_config.clone();
        if let (None, Some(path)) = (&chosen, &plan.auth_file) {
            match self.of_operator(path, &source.reference).await {
                Ok(login) => chosen = login,
                Err(warning) => found.warnings.push(warning),
            }
        }
        found.login = chosen.map(registry_login);
        found
    }

    /// The login from Vault, or else GitLab's, where none of the places before has one.
    pub fn from_vault_on(&self, source: &ImageSource, before: Found) -> Found {
        let of_vault = source.login.vault.as_ref().and_then(|login| self.of_vault(login));
        let chosen = of_vault.or_else(|| source.login.job.clone());
        Found { login: chosen.map(registry_login), ..before }
    }

    fn of_vault(&self, login: &VaultLogin) -> Option<Login> {
        Some(Login {
            registry: login.registry.clone(),
            username: login.username.clone(),
            password: self.passwords.get(&login.password.name)?.clone(),
        })
    }

    /// As Docker itself: a helper or store comes before what stands in the file.
    async fn of_operator(&self, path: &Path, image: &str) -> Result<Option<Login>, String> {
        let place = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("failed to read the registry logins in {place}: {error}"))?;
        let config = AuthConfig::read(&text)
            .ok_or_else(|| format!("the registry logins in {place} are no Docker configuration"))?;
        if let Some((helper, server)) = config.helper(image) {
            let asked = credential_helper::get(self.world, &helper, &server).await;
            if let Some(login) = asked.map_err(|error| error.to_string())? {
                return Ok(Some(login));
            }
        }
        Ok(login::best(image, config.logins))
    }
}

fn registry_login(login: Login) -> RegistryLogin {
    RegistryLogin { registry: login.registry, username: login.username, password: login.password }
}
