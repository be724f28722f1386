//! `[admission]`: how many jobs this host lets in at once, and what the others wait for.

use serde::Deserialize;

use super::{ByteSize, Patterns, Period, Problem, Settings, Share, SocketMode};

/// `[admission]`. Without a limit nothing is waited for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionSettings {
    /// Jobs at once, of all runners of this host.
    pub max_jobs: Option<u32>,
    /// Memory that the limits of all jobs may come to; `auto` is what the host has.
    pub memory: Option<Share<ByteSize>>,
    /// The same of CPUs.
    pub cpus: Option<Share<f64>>,
    /// Longest wait, from the first try of a job's `prepare`.
    pub wait: Period,
    /// Containers that jobs with the raw socket may leave running.
    pub max_app_containers: u32,
    /// Names of containers that do not count among them.
    pub other_containers: Patterns,
    /// Labels of such, as `key` or `key=value`.
    pub other_container_labels: Vec<String>,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            max_jobs: None,
            memory: None,
            cpus: None,
            wait: Period::seconds(30 * 60),
            max_app_containers: 3,
            other_containers: Patterns::nothing(),
            other_container_labels: Vec::new(),
        }
    }
}

impl AdmissionSettings {
    /// Whether jobs are weighed by what they may use.
    pub fn weighs(&self) -> bool {
        self.memory.is_some() || self.cpus.is_some()
    }

    /// Whether a job may have to wait for others.
    pub fn limits_jobs(&self) -> bool {
        self.max_jobs.is_some() || self.weighs()
    }

    pub(super) fn check(&self, settings: &Settings) -> Problem {
        let fail = |key: &str, problem: &str| Err((format!("admission.{key}"), problem.to_owned()));
        if self.max_jobs == Some(0) {
            return fail("max_jobs", "must not be 0: no job would ever begin");
        }
        if self.memory.is_some_and(|all| all.amount() == Some(ByteSize(0))) {
            return fail("memory", "must not be 0: no job would ever begin");
        }
        if self.cpus.and_then(|all| all.amount()).is_some_and(|all| !all.is_finite() || all <= 0.0)
        {
            return fail("cpus", "must be more than 0: no job would ever begin");
        }
        // A container without a limit may take all there is, and would have to be alone.
        let limits = &settings.limits;
        if self.memory.is_some() && limits.memory.is_none() {
            return fail("memory", "jobs are weighed by their limit: set limits.memory too");
        }
        if self.cpus.is_some() && limits.cpus.is_none() {
            return fail("cpus", "jobs are weighed by their limit: set limits.cpus too");
        }
        Ok(())
    }
}

impl Settings {
    /// Whether the jobs of some project have the host's own Docker socket.
    pub fn has_raw_socket(&self) -> bool {
        let raw = |mode: SocketMode| mode == SocketMode::Raw;
        raw(self.docker.docker_socket)
            || self.project.iter().any(|rule| rule.docker_socket.is_some_and(raw))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::settings::Settings;

    fn parsed(toml: &str) -> Result<Settings, String> {
        Settings::parse(toml, Path::new("longshore.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_that_let_nothing_in_or_weigh_nothing_are_refused() {
        for (text, word) in [
            ("max_jobs = 0", "admission.max_jobs: must not be 0"),
            ("max_jobs = -1", "admission.max_jobs"),
            ("memory = 0", "admission.memory: must not be 0"),
            ("cpus = 0", "admission.cpus: must be more than 0"),
            ("memory = \"8g\"", "set limits.memory too"),
            ("cpus = \"auto\"", "set limits.cpus too"),
            ("max_job = 3", "did you mean `max_jobs`?"),
            ("wait = \"soon\"", "not a duration"),
        ] {
            let error = parsed(&format!("[admission]\n{text}\n")).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        let weighed = "[limits]\nmemory = \"1g\"\n[admission]\nmemory = \"auto\"\n";
        assert!(parsed(weighed).unwrap().admission.limits_jobs());
        assert!(!parsed("").unwrap().admission.limits_jobs());
    }

    #[test]
    fn a_raw_socket_is_seen_in_any_rule() {
        let rule = |mode: &str| {
            parsed(&format!("[[project]]\nprojects = [\"a/*\"]\ndocker_socket = \"{mode}\"\n"))
        };
        assert!(rule("raw").unwrap().has_raw_socket());
        assert!(!rule("off").unwrap().has_raw_socket());
        assert!(parsed("[docker]\ndocker_socket = \"raw\"\n").unwrap().has_raw_socket());
    }
}
