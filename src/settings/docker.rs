//! `[docker]`: the engine, images and pulls.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    ByteSize, LoginRule, MirrorRule, Patterns, Period, Problem, SocketMode, Subnet, Volume,
    project, value,
};

/// `[docker]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerSettings {
    /// `unix:///path` or `tcp://host:port`.
    pub host: String,
    /// Directory of `ca.pem`, `cert.pem` and `key.pem` for a daemon that speaks TLS.
    pub tls_cert_path: Option<PathBuf>,
    /// Image with git; `None` is GitLab's own helper of the runner's version.
    pub helper_image: Option<String>,
    /// Image of jobs that name none.
    pub default_image: Option<String>,
    /// Images that jobs may use; the default image always may.
    pub allowed_images: Patterns,
    /// User of all jobs' scripts, whatever they choose; the job's or the image's for `None`.
    pub user: Option<String>,
    /// Users that a job may choose.
    pub allowed_users: Patterns,
    /// Images on this host that every project may use without its registry being asked.
    pub shared_images: Patterns,
    /// A Docker configuration with credentials, helpers and stores.
    pub auth_file: Option<PathBuf>,
    /// Registries that are asked before others.
    pub mirror: Vec<MirrorRule>,
    /// Credentials from Vault.
    pub login: Vec<LoginRule>,
    /// Images that a job's services may use; those of `[[services]]` always may.
    pub allowed_services: Patterns,
    /// How long a job's services may take to be ready; zero does not wait at all.
    pub wait_for_services_timeout: Period,
    /// How much of each service's output is kept for its last words; zero keeps nothing.
    pub service_log: ByteSize,
    /// Pull policies, tried in order.
    #[serde(deserialize_with = "value::one_or_many")]
    pub pull_policy: Vec<PullPolicy>,
    /// Policies that a job may choose besides; none by default.
    #[serde(deserialize_with = "value::one_or_many")]
    pub allowed_pull_policies: Vec<PullPolicy>,
    /// Longest a pull may take in all.
    pub pull_deadline: Period,
    /// Whether jobs get a Docker socket.
    pub docker_socket: SocketMode,
    /// Names of the slot networks but for their number.
    pub slot_prefix: String,
    /// What slot networks take their addresses of; `None` for a range that the daemon chooses.
    pub slot_pool: Option<Subnet>,
    /// Further labels of all that a job has; `$NAME` in a value stands for the job's variable.
    pub labels: BTreeMap<String, String>,
    /// Mounted into all containers of jobs.
    pub volumes: Vec<Volume>,
}

impl Default for DockerSettings {
    fn default() -> Self {
        Self {
            host: "unix:///var/run/docker.sock".to_owned(),
            tls_cert_path: None,
            helper_image: None,
            default_image: None,
            allowed_images: Patterns::everything(),
            user: None,
            allowed_users: Patterns::everything(),
            shared_images: Patterns::nothing(),
            auth_file: None,
            mirror: Vec::new(),
            login: Vec::new(),
            allowed_services: Patterns::everything(),
            wait_for_services_timeout: Period::seconds(30),
            service_log: ByteSize(10 << 20),
            pull_policy: vec![PullPolicy::Always],
            allowed_pull_policies: Vec::new(),
            pull_deadline: Period::seconds(30 * 60),
            docker_socket: SocketMode::Off,
            slot_prefix: "longshore-slot-".to_owned(),
            slot_pool: None,
            labels: BTreeMap::new(),
            volumes: Vec::new(),
        }
    }
}

impl DockerSettings {
    pub(super) fn check(&self) -> Problem {
        let fail = |key: &str, problem: &str| Err((format!("docker.{key}"), problem.to_owned()));
        if self.pull_policy.is_empty() {
            return fail("pull_policy", "the list is empty; leave the key out for [\"always\"]");
        }
        if !self.host.starts_with("unix:///") && !self.host.starts_with("tcp://") {
            return fail("host", "write unix:///PATH or tcp://HOST:PORT");
        }
        if let Some(directory) = &self.tls_cert_path {
            if !self.host.starts_with("tcp://") {
                return fail(
                    "tls_cert_path",
                    "only a daemon at tcp:// is reached by TLS; leave the key out",
                );
            }
            if !directory.is_absolute() {
                return fail("tls_cert_path", "write an absolute path");
            }
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let prefix = &self.slot_prefix;
        let begins = prefix.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || !prefix.chars().all(legal) || prefix.len() > 40 {
            return fail(
                "slot_prefix",
                "write a letter or digit, then at most 39 letters, digits, `_`, `.` or `-`",
            );
        }
        if self.slot_pool.is_some_and(|pool| !(8..=26).contains(&pool.prefix())) {
            return fail(
                "slot_pool",
                "write a network between /8 and /26; each slot takes a /26 of it",
            );
        }
        if self.auth_file.as_ref().is_some_and(|file| !file.is_absolute()) {
            return fail("auth_file", "write an absolute path");
        }
        self.mirror.iter().try_for_each(MirrorRule::check)?;
        self.login.iter().try_for_each(LoginRule::check)?;
        project::check_labels("docker.labels", &self.labels)
    }

    /// The path of the engine's socket on the engine's host.
    pub fn socket_path(&self) -> &str {
        // A remote daemon is asked for the socket that every daemon has.
        self.host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock")
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
