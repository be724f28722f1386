//! What the operator allows: the settings file, parsed strictly. Pure: text in, types out.
//!
//! "config" is the name of a GitLab call, so it is never the name of this.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

mod admission;
mod amount;
mod broker;
mod docker;
mod document;
mod error;
mod gc;
mod isolation;
mod limits;
mod masking;
mod network;
mod project;
mod prune;
mod registry;
mod secrets;
mod services;
mod shell;
mod subnet;
mod value;
mod vault;
mod volume;

pub use admission::AdmissionSettings;
pub use amount::{Share, Ulimit};
pub use broker::{BrokerSettings, PushRule};
pub use docker::{DockerSettings, PullPolicy};
pub use error::SettingsError;
pub use gc::{Amount, GcSettings, Watermark};
pub use isolation::{Gpus, IsolationSettings};
pub use limits::{Capacity, LimitOverrides, LimitSettings};
pub use masking::MaskingSettings;
pub use network::{NetworkSettings, SLOT};
pub use project::{ContainerSettings, ProjectRule, SocketMode};
pub use prune::{BakeRule, PruneSettings};
pub use registry::{LoginRule, MirrorRule, PasswordPlace};
pub use secrets::{FileMode, KvVersion, SecretForm, SecretRule};
pub use services::{DefaultService, ServiceRule};
pub use shell::Shell;
pub use subnet::Subnet;
pub use value::{ByteSize, Patterns, Period};
pub use vault::{AppRoleSettings, VaultSettings};
pub use volume::{Volume, VolumeSource};

/// The dotted key of the first value that does not hold, and what is wrong with it.
type Problem = Result<(), (String, String)>;

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
    /// What the runner writes the scripts for.
    pub shell: Shell,
    /// Locks; on a tmpfs.
    pub run_dir: PathBuf,
    /// The engine and the images.
    pub docker: DockerSettings,
    /// How long after the last reap `prepare` starts another one; zero for never.
    pub reap_interval: Period,
    /// The brokered Docker socket.
    pub broker: BrokerSettings,
    /// How many jobs the runner runs at once, as `concurrent` in its config.toml.
    pub concurrency: Option<u32>,
    /// How many jobs are let in at once.
    pub admission: AdmissionSettings,
    /// Limits of each container.
    pub limits: LimitSettings,
    /// What the job container may do to its host.
    pub isolation: IsolationSettings,
    /// The job's network.
    pub network: NetworkSettings,
    /// What differs for the helper container.
    pub helper: ContainerSettings,
    /// Rules for some projects; the first that matches holds.
    pub project: Vec<ProjectRule>,
    /// Services that jobs get besides their own.
    pub services: Vec<DefaultService>,
    /// How services of some images are treated; the first that matches holds.
    pub service_rule: Vec<ServiceRule>,
    /// What differs for containers of services.
    pub service_container: ContainerSettings,
    /// The Vault server.
    pub vault: Option<VaultSettings>,
    /// Secrets that jobs may ask for, by name.
    pub secrets: BTreeMap<String, SecretRule>,
    /// What becomes of secrets that cannot be masked.
    pub masking: MaskingSettings,
    /// Pruning after delivery.
    pub prune: PruneSettings,
    /// How much room is kept.
    pub gc: GcSettings,
    /// Secrets that a repository's image may carry.
    pub bake: Vec<BakeRule>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            builds_dir: "/builds".to_owned(),
            cache_dir: "/cache".to_owned(),
            state_dir: PathBuf::from("/var/lib/longshore"),
            shell: Shell::default(),
            run_dir: PathBuf::from("/run/longshore"),
            docker: DockerSettings::default(),
            reap_interval: Period::seconds(300),
            broker: BrokerSettings::default(),
            concurrency: None,
            admission: AdmissionSettings::default(),
            limits: LimitSettings::default(),
            isolation: IsolationSettings::default(),
            network: NetworkSettings::default(),
            helper: ContainerSettings::default(),
            project: Vec::new(),
            services: Vec::new(),
            service_rule: Vec::new(),
            service_container: ContainerSettings::default(),
            vault: None,
            secrets: BTreeMap::new(),
            masking: MaskingSettings::default(),
            prune: PruneSettings::default(),
            gc: GcSettings::default(),
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
        let settings: Self = document::read(text, path)?;
        settings.check().map_err(|(key, problem)| SettingsError::Value {
            path: path.to_path_buf(),
            key,
            problem,
        })?;
        Ok(settings)
    }

    /// What holds for a job: the general settings with the first rule that matches over them, and each
    /// share of the host worked out.
    #[must_use]
    pub fn for_job(&self, project: &str, protected: bool, capacity: Capacity) -> Self {
        let mut settings = self.clone();
        if let Some(rule) = self.project.iter().find(|rule| rule.applies(project, protected)) {
            rule.lay_over(&mut settings);
        }
        let concurrency = settings.concurrency.unwrap_or(1);
        for other in [&mut settings.helper, &mut settings.service_container] {
            other.limits = settings.limits.with(&other.limits).shared(capacity, concurrency);
        }
        settings.limits = settings.limits.shared(capacity, concurrency);
        settings
    }

    fn check_logins(&self) -> Problem {
        if self.vault.is_none() && !self.docker.login.is_empty() {
            let problem = "there is no [vault] to read the password from";
            return Err(("docker.login".to_owned(), problem.to_owned()));
        }
        Ok(())
    }

    /// A share needs to be told by how many to divide: the runner does not say.
    fn check_shares(&self) -> Problem {
        let auto = self.limits.is_auto()
            || self.helper.limits.is_auto()
            || self.service_container.limits.is_auto()
            || self.project.iter().any(ProjectRule::is_auto);
        match self.concurrency {
            Some(0) => Err(("concurrency".to_owned(), "must not be 0".to_owned())),
            None if auto => {
                let problem = "\"auto\" limits need it: write the runner's `concurrent` here";
                Err(("concurrency".to_owned(), problem.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// What types alone cannot say: key and problem of the first value that does not hold.
    fn check(&self) -> Problem {
        self.check_directories()?;
        self.limits.check("limits")?;
        self.isolation.check("isolation")?;
        self.network.check("network")?;
        self.helper.check("helper", &self.limits)?;
        self.service_container.check("service_container", &self.limits)?;
        self.check_shares()?;
        self.admission.check(self)?;
        volume::check("docker.volumes", &self.docker.volumes, self)?;
        self.project.iter().try_for_each(|rule| rule.check(self))?;
        self.docker.check()?;
        self.broker.check("broker")?;
        self.check_logins()?;
        self.gc.check()?;
        services::check(&self.services, &self.service_rule)?;
        self.prune.check()?;
        secrets::check(&self.secrets, self.vault.as_ref())?;
        if let Some(vault) = &self.vault {
            vault.check()?;
        }
        self.bake.iter().try_for_each(|rule| rule.check(&self.secrets))
    }

    fn check_directories(&self) -> Problem {
        let (builds, cache) = (Path::new(&self.builds_dir), Path::new(&self.cache_dir));
        let directories = [
            ("builds_dir", builds),
            ("cache_dir", cache),
            ("state_dir", &self.state_dir),
            ("run_dir", &self.run_dir),
        ];
        for (key, directory) in directories {
            let problem = format!(
                "{} is not an absolute path without a slash at the end and without `..`",
                directory.display()
            );
            is_plain(directory).then_some(()).ok_or((key.to_owned(), problem))?;
        }
        if cache.starts_with(builds) || builds.starts_with(cache) {
            let problem =
                "must not lie in builds_dir, nor the other way round: each is a volume of its own";
            return Err(("cache_dir".to_owned(), problem.to_owned()));
        }
        Ok(())
    }
}

/// A directory that can be mounted: absolute, not the root, no way up, not where the agent is.
fn is_plain(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return false };
    let Some(below) = text.strip_prefix('/') else { return false };
    below.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !text.chars().any(char::is_control)
        && !path.starts_with("/.longshore")
}
