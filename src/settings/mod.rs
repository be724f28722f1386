//! What the operator allows: the settings file, parsed strictly. Pure: text in, types out.
//!
//! "config" is the name of a GitLab call, so it is never the name of this.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

mod docker;
mod error;
mod prune;
mod secrets;
mod value;
mod vault;

pub use docker::{DockerSettings, LimitSettings, ProjectRule, PullPolicy, SocketMode};
pub use error::SettingsError;
pub use prune::{BakeRule, PruneSettings};
pub use secrets::SecretRule;
pub use value::{ByteSize, Patterns, Period};
pub use vault::{AppRoleSettings, VaultSettings};

/// The whole file; every key is optional.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where jobs are checked out, inside the containers.
    pub builds_dir: String,
    /// Where caches are kept, inside the containers.
    pub cache_dir: String,
    /// The ledger's directory on the host.
    pub state_dir: PathBuf,
    /// Locks; on a tmpfs.
    pub run_dir: PathBuf,
    /// The engine and the images.
    pub docker: DockerSettings,
    /// Limits of job containers.
    pub limits: LimitSettings,
    /// Rules for some projects; the first that matches holds.
    pub project: Vec<ProjectRule>,
    /// The Vault server.
    pub vault: Option<VaultSettings>,
    /// Secrets that jobs may ask for, by name.
    pub secrets: BTreeMap<String, SecretRule>,
    /// Pruning after delivery.
    pub prune: PruneSettings,
    /// Secrets that a repository's image may carry.
    pub bake: Vec<BakeRule>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            builds_dir: "/builds".to_owned(),
            cache_dir: "/cache".to_owned(),
            state_dir: PathBuf::from("/var/lib/longshore"),
            run_dir: PathBuf::from("/run/longshore"),
            docker: DockerSettings::default(),
            limits: LimitSettings::default(),
            project: Vec::new(),
            vault: None,
            secrets: BTreeMap::new(),
            prune: PruneSettings::default(),
            bake: Vec::new(),
        }
    }
}

impl Settings {
    /// Parses the text of the file at `path`, which is only named in errors.
    ///
    /// # Errors
    /// Unknown key, wrong type, or values that contradict each other: one, with line and hint.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let settings: Self =
            toml::from_str(text).map_err(|error| SettingsError::syntax(path, text, &error))?;
        settings.check().map_err(|(key, problem)| SettingsError::Value {
            path: path.to_path_buf(),
            key,
            problem,
        })?;
        Ok(settings)
    }

    /// What types alone cannot say: key and problem of the first value that does not hold.
    fn check(&self) -> Result<(), (String, String)> {
        for (key, directory) in [("builds_dir", &self.builds_dir), ("cache_dir", &self.cache_dir)] {
            if !directory.starts_with('/') || directory.len() < 2 || directory.ends_with('/') {
                let problem =
                    format!("{directory:?} is not an absolute path without a slash at the end");
                return Err((key.to_owned(), problem));
            }
        }
        self.docker.check()?;
        secrets::check(&self.secrets, self.vault.as_ref())?;
        if let Some(vault) = &self.vault {
            vault.check()?;
        }
        self.bake.iter().try_for_each(|rule| rule.check(&self.secrets))
    }
}
