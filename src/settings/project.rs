//! `[[project]]` and the Docker socket: what may differ between projects.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    BrokerSettings, IsolationSettings, LimitOverrides, LimitSettings, NetworkSettings, Patterns,
    Period, Problem, PullPolicy, Settings, Shell, Volume, value, volume,
};

/// What a job gets at `/var/run/docker.sock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SocketMode {
    /// Nothing.
    Off,
    /// The daemon through the broker: the job's own objects and nothing else.
    Brokered,
    /// The host's own socket: its jobs are root on the host.
    Raw,
}

impl<'de> Deserialize<'de> for SocketMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SocketVisitor)
    }
}

struct SocketVisitor;

impl Visitor<'_> for SocketVisitor {
    type Value = SocketMode;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"off\", \"brokered\" or \"raw\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SocketMode, E> {
        match text {
            "off" => Ok(SocketMode::Off),
            "raw" => Ok(SocketMode::Raw),
            "brokered" => Ok(SocketMode::Brokered),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }
}

/// Limits and isolation of containers other than the job's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContainerSettings {
    /// Limits; what is left out holds as in `[limits]`.
    pub limits: LimitOverrides,
    /// Isolation; what is left out is as strict as can be, and not as the job's.
    pub isolation: IsolationSettings,
}

impl ContainerSettings {
    /// These settings where `own` has none.
    #[must_use]
    pub fn with(&self, own: &Self) -> Self {
        Self {
            limits: self.limits.with(&own.limits),
            isolation: self.isolation.with(&own.isolation),
        }
    }

    pub(super) fn check(&self, key: &str, job: &LimitSettings) -> Problem {
        job.with(&self.limits).check(&format!("{key}.limits"))?;
        self.isolation.check(&format!("{key}.isolation"))
    }
}

/// `[[project]]`: what holds for some projects; keys that are absent keep the general value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectRule {
    /// Project paths.
    pub projects: Patterns,
    /// Only for protected refs.
    #[serde(default)]
    pub protected_only: bool,
    /// Instead of `shell`.
    pub shell: Option<Shell>,
    /// Instead of `docker.docker_socket`.
    pub docker_socket: Option<SocketMode>,
    /// Instead of single keys of `[broker]`.
    #[serde(default)]
    pub broker: BrokerSettings,
    /// Instead of `docker.allowed_images`.
    pub allowed_images: Option<Patterns>,
    /// Instead of `docker.allowed_services`.
    pub allowed_services: Option<Patterns>,
    /// Instead of `docker.default_image`.
    pub default_image: Option<String>,
    /// Instead of `docker.helper_image`.
    pub helper_image: Option<String>,
    /// Instead of `docker.pull_policy`.
    #[serde(default, deserialize_with = "value::some_or_many")]
    pub pull_policy: Option<Vec<PullPolicy>>,
    /// Instead of `docker.allowed_pull_policies`.
    #[serde(default, deserialize_with = "value::some_or_many")]
    pub allowed_pull_policies: Option<Vec<PullPolicy>>,
    /// Instead of `docker.pull_deadline`.
    pub pull_deadline: Option<Period>,
    /// Instead of `docker.user`.
    pub user: Option<String>,
    /// Instead of `docker.allowed_users`.
    pub allowed_users: Option<Patterns>,
    /// Instead of `docker.shared_images`.
    pub shared_images: Option<Patterns>,
    /// Instead of `docker.auth_file`.
    pub auth_file: Option<PathBuf>,
    /// Besides `docker.labels`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Besides `docker.volumes`.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Instead of single limits.
    #[serde(default)]
    pub limits: LimitOverrides,
    /// Instead of single keys of `[isolation]`.
    #[serde(default)]
    pub isolation: IsolationSettings,
    /// Instead of single keys of `[network]`.
    #[serde(default)]
    pub network: NetworkSettings,
    /// Instead of single keys of `[helper]`.
    #[serde(default)]
    pub helper: ContainerSettings,
    /// Instead of single keys of `[service_container]`.
    #[serde(default)]
    pub service_container: ContainerSettings,
}

impl ProjectRule {
    /// Whether it holds for a job of this project.
    pub fn applies(&self, project: &str, protected: bool) -> bool {
        (protected || !self.protected_only) && self.projects.matches(project)
    }

    /// Whether one of its limits is a share of the host.
    pub(super) fn is_auto(&self) -> bool {
        [&self.limits, &self.helper.limits, &self.service_container.limits]
            .into_iter()
            .any(LimitSettings::is_auto)
    }

    pub(super) fn check(&self, general: &Settings) -> Problem {
        let limits = general.limits.with(&self.limits);
        limits.check("project.limits")?;
        self.isolation.check("project.isolation")?;
        self.network.check("project.network")?;
        self.broker.check("project.broker")?;
        general.helper.with(&self.helper).check("project.helper", &limits)?;
        let services = general.service_container.with(&self.service_container);
        services.check("project.service_container", &limits)?;
        check_labels("project.labels", &self.labels)?;
        let volumes = [general.docker.volumes.as_slice(), &self.volumes].concat();
        volume::check("project.volumes", &volumes, general)?;
        if self.auth_file.as_ref().is_some_and(|file| !file.is_absolute()) {
            return Err(("project.auth_file".to_owned(), "write an absolute path".to_owned()));
        }
        match &self.pull_policy {
            Some(policies) if policies.is_empty() => {
                Err(("project.pull_policy".to_owned(), "the list is empty".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Puts what it says over the general settings.
    pub(super) fn lay_over(&self, settings: &mut Settings) {
        set(&mut settings.shell, self.shell.as_ref());
        let docker = &mut settings.docker;
        set(&mut docker.docker_socket, self.docker_socket.as_ref());
        set(&mut docker.allowed_images, self.allowed_images.as_ref());
        set(&mut docker.allowed_services, self.allowed_services.as_ref());
        set(&mut docker.pull_policy, self.pull_policy.as_ref());
        set(&mut docker.allowed_pull_policies, self.allowed_pull_policies.as_ref());
        set(&mut docker.pull_deadline, self.pull_deadline.as_ref());
        set(&mut docker.allowed_users, self.allowed_users.as_ref());
        set(&mut docker.shared_images, self.shared_images.as_ref());
        docker.user = self.user.clone().or(docker.user.take());
        docker.auth_file = self.auth_file.clone().or(docker.auth_file.take());
        docker.default_image = self.default_image.clone().or(docker.default_image.take());
        docker.helper_image = self.helper_image.clone().or(docker.helper_image.take());
        docker.labels.extend(self.labels.clone());
        docker.volumes.extend(self.volumes.iter().cloned());
        settings.limits = settings.limits.with(&self.limits);
        settings.isolation = settings.isolation.with(&self.isolation);
        settings.network = settings.network.with(&self.network);
        settings.broker = settings.broker.with(&self.broker);
        settings.helper = settings.helper.with(&self.helper);
        settings.service_container = settings.service_container.with(&self.service_container);
    }
}

fn set<T: Clone>(general: &mut T, own: Option<&T>) {
    if let Some(own) = own {
        general.clone_from(own);
    }
}

/// Labels of ours tell `reap` what to remove, so nobody else sets them.
pub(super) fn check_labels(key: &str, labels: &BTreeMap<String, String>) -> Problem {
    match labels.keys().find(|name| name.is_empty() || name.starts_with("longshore.")) {
        Some(name) => Err((
            key.to_owned(),
            format!("{name:?} is empty or begins with `longshore.`, which is ours"),
        )),
        None => Ok(()),
    }
}
