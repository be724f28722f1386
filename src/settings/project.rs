//! `[limits]`, `[[project]]` and the Docker socket: what may differ between projects.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{ByteSize, Patterns};

/// What a job gets at `/var/run/docker.sock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SocketMode {
    /// Nothing.
    Off,
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
        formatter.write_str("\"off\" or \"raw\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SocketMode, E> {
        match text {
            "off" => Ok(SocketMode::Off),
            "raw" => Ok(SocketMode::Raw),
            "brokered" => Err(E::custom(
                "\"brokered\" comes in a later version; write \"off\", or \"raw\" for projects whose every \
                 committer may be root on this host",
            )),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }
}

/// `[limits]`, of each container of a job.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Memory; swap is not given on top.
    pub memory: Option<ByteSize>,
    /// CPUs, fractions allowed.
    pub cpus: Option<f64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Size of the tmpfs for GitLab's file variables.
    pub file_variables: ByteSize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { memory: None, cpus: None, pids: Some(4096), file_variables: ByteSize(64 << 20) }
    }
}

/// `limits` of a `[[project]]`: keys that are absent keep the general value.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOverrides {
    /// Instead of `limits.memory`.
    pub memory: Option<ByteSize>,
    /// Instead of `limits.cpus`.
    pub cpus: Option<f64>,
    /// Instead of `limits.pids`.
    pub pids: Option<u32>,
    /// Instead of `limits.file_variables`.
    pub file_variables: Option<ByteSize>,
}

impl LimitSettings {
    /// These limits where a project has none of its own.
    #[must_use]
    pub fn with(self, own: LimitOverrides) -> Self {
        Self {
            memory: own.memory.or(self.memory),
            cpus: own.cpus.or(self.cpus),
            pids: own.pids.or(self.pids),
            file_variables: own.file_variables.unwrap_or(self.file_variables),
        }
    }

    pub(super) fn check(&self, key: &str) -> Result<(), (String, String)> {
        let fail = |name: &str, problem: &str| Err((format!("{key}.{name}"), problem.to_owned()));
        // Docker's own least; below it no container starts, and the daemon blames the job.
        if self.memory.is_some_and(|memory| memory.0 < 6 << 20) {
            return fail("memory", "is less than the 6m that an engine accepts");
        }
        if self.cpus.is_some_and(|cpus| !(0.01..=4096.0).contains(&cpus)) {
            return fail("cpus", "is not a number of CPUs such as 2 or 1.5");
        }
        if self.pids == Some(0) {
            return fail("pids", "must not be 0; leave the key out for 4096");
        }
        if self.file_variables.0 < 4096 {
            return fail("file_variables", "is too small to hold a file");
        }
        Ok(())
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
    /// Instead of `docker.docker_socket`.
    pub docker_socket: Option<SocketMode>,
    /// Instead of `docker.allowed_images`.
    pub allowed_images: Option<Patterns>,
    /// Instead of `docker.allowed_services`.
    pub allowed_services: Option<Patterns>,
    /// Instead of single limits.
    #[serde(default)]
    pub limits: LimitOverrides,
}

impl ProjectRule {
    /// Whether it holds for a job of this project.
    pub fn applies(&self, project: &str, protected: bool) -> bool {
        (protected || !self.protected_only) && self.projects.matches(project)
    }

    pub(super) fn check(&self) -> Result<(), (String, String)> {
        LimitSettings::default().with(self.limits).check("project.limits")
    }
}
