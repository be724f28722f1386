//! The name of a job's objects: from the job's JSON alone, so that every later process finds what an
//! earlier one made. Pure.

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::job::JobResponse;

/// `JOBID-8 hex digits`: legal in container, volume and network names, distinct for distinct jobs of
/// distinct GitLab servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct JobKey(String);

impl JobKey {
    /// The key of a job. The server is told from where the sources come from.
    pub fn of(job: &JobResponse) -> Self {
        let mut hash = Sha256::new();
        hash.update(server(&job.git_info.repo_url));
        hash.update([0]);
        hash.update(job.job_info.project_id.to_le_bytes());
        hash.update(job.id.to_le_bytes());
        Self(format!("{}-{}", job.id, hex(&hash.finalize())))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of one of the job's objects.
    pub fn name(&self, what: &str) -> String {
        format!("longshore-{}-{what}", self.0)
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The first eight hex digits of a hash.
pub(super) fn hex(hash: &[u8]) -> String {
    let short = hash.iter().take(4).fold(0_u32, |short, byte| (short << 8) | u32::from(*byte));
    format!("{short:08x}")
}

/// Host and port of a URL, without the credentials that it carries.
pub(super) fn server(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = after_scheme.split('/').next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::server;

    #[test]
    fn the_token_in_the_url_is_no_part_of_the_server() {
        assert_eq!(
            server("https://gitlab-ci-token:abc@git.example:8443/g/p.git"),
            "git.example:8443"
        );
        assert_eq!(server("http://localhost/p.git"), "localhost");
        assert_eq!(server("odd"), "odd");
    }

    #[test]
    fn the_key_as_text_is_what_names_are_made_of() {
        let key = super::JobKey("7-ab".to_owned());
        assert_eq!(key.as_str(), "7-ab");
        assert_eq!(key.to_string(), key.as_str());
        assert_eq!(key.name("job"), "longshore-7-ab-job");
    }
}
