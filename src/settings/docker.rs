//! `[docker]`, `[limits]` and `[[project]]`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ByteSize, Patterns, Period};

/// `[docker]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerSettings {
    /// `unix:///path` or `tcp://host:port`.
    pub host: String,
    /// Image with git; `None` is GitLab's own helper of the runner's version.
    pub helper_image: Option<String>,
    /// Image of jobs that name none.
    pub default_image: Option<String>,
    /// Images that jobs may use; the default image always may.
    pub allowed_images: Patterns,
    /// Pull policies, tried in order.
    pub pull_policy: Vec<PullPolicy>,
    /// Policies that a job may choose itself; none by default.
    pub allowed_pull_policies: Vec<PullPolicy>,
    /// Longest a pull may take in all.
    pub pull_deadline: Period,
    /// Whether jobs get a Docker socket.
    pub docker_socket: SocketMode,
    /// Names of the slot networks but for their number.
    pub slot_prefix: String,
}

impl Default for DockerSettings {
    fn default() -> Self {
        Self {
            host: "unix:///var/run/docker.sock".to_owned(),
            helper_image: None,
            default_image: None,
            allowed_images: Patterns::everything(),
            pull_policy: vec![PullPolicy::Always],
            allowed_pull_policies: Vec::new(),
            pull_deadline: Period::seconds(30 * 60),
            docker_socket: SocketMode::Off,
            slot_prefix: "longshore-slot-".to_owned(),
        }
    }
}

impl DockerSettings {
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let fail = |key: &str, problem: &str| Err((format!("docker.{key}"), problem.to_owned()));
        if self.pull_policy.is_empty() {
            return fail("pull_policy", "the list is empty; leave the key out for [\"always\"]");
        }
        if !self.host.starts_with("unix:///") && !self.host.starts_with("tcp://") {
            return fail("host", "write unix:///PATH or tcp://HOST:PORT");
        }
        if self.slot_prefix.is_empty() {
            return fail("slot_prefix", "must not be empty");
        }
        Ok(())
    }

    /// The path of the engine's socket, where it has one on this host.
    pub fn socket_path(&self) -> Option<&str> {
        self.host.strip_prefix("unix://")
    }
}

/// When an image is pulled. Source: GitLab's docker executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// Before every job.
    Always,
    /// Where the host does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Always => "always",
            Self::IfNotPresent => "if-not-present",
            Self::Never => "never",
        })
    }
}

/// What a job gets at `/var/run/docker.sock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SocketMode {
    /// Nothing.
    Off,
    /// The host's own socket: its jobs are root on the host.
    Raw,
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
    /// Instead of `[limits]`.
    pub limits: Option<LimitSettings>,
}
