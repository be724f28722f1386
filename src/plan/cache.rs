//! The volume that keeps a project's caches from job to job. It says which jobs share one.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::container::{Labels, MountPlan, MountSource};
use super::key;
use crate::job::{JobContext, JobResponse};

/// What `longshore local` calls its runner.
pub const LOCAL: &str = "longshore-local";

/// What the names of all these volumes begin with.
const PREFIX: &str = "longshore-cache-";

/// Whether a volume of this name keeps a project's caches.
pub fn is_volume(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// What jobs must have in common to share a cache.
///
/// Protected refs have a cache of their own, as with GitLab's executor: else whoever may push a branch
/// could plant files into the next delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheKey {
    server: String,
    project_id: u64,
    protected: bool,
}

/// `longshore local` serves sources on another port each time, and keeps its caches all the same.
fn server(job: &JobResponse) -> &str {
    if job.runner_info.uuid == LOCAL { "local" } else { key::server(&job.git_info.repo_url) }
}

impl CacheKey {
    pub(super) fn of(context: &JobContext) -> Self {
        let job = &context.response;
        Self {
            server: server(job).to_owned(),
            project_id: job.job_info.project_id,
            protected: context.is_protected(),
        }
    }

    /// The mount for jobs that work as this user: files in it belong to who made them.
    pub(super) fn mount(&self, target: &str, user: &str, project: &str) -> MountPlan {
        self.volume_at(target, project, &[user])
    }

    /// The mount of another volume that the operator wants kept, at this place.
    pub(super) fn mount_of(&self, target: &str, user: &str, project: &str) -> MountPlan {
        self.volume_at(target, project, &[user, target])
    }

    fn volume_at(&self, target: &str, project: &str, parts: &[&str]) -> MountPlan {
        let labels = [("longshore.kind", "cache"), ("longshore.cache", project)];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        MountPlan {
            target: target.to_owned(),
            source: MountSource::Volume {
                name: self.volume(parts),
                labels: Labels::from(labels),
                tmpfs_bytes: None,
            },
            read_only: false,
        }
    }

    fn volume(&self, parts: &[&str]) -> String {
        let mut hash = Sha256::new();
        for part in [self.server.as_str()].iter().chain(parts) {
            hash.update(part);
            hash.update([0]);
        }
        let hex = key::hex(&hash.finalize());
        let refs = if self.protected { "protected" } else { "unprotected" };
        format!("{PREFIX}{}-{hex}-{refs}", self.project_id)
    }
}
