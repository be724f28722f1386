//! What a cleanup removes, by name: it can be worked out though `prepare` never ran. Pure.

use serde::{Deserialize, Serialize};

use super::{JobKey, JobPlan};
use crate::job::JobResponse;
use crate::settings::{Settings, SocketMode};

/// The objects of a job, handed to the worker that removes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalPlan {
    /// The job's key, for the ledger.
    pub job: String,
    /// Names of containers.
    pub containers: Vec<String>,
    /// Names of volumes.
    pub volumes: Vec<String>,
    /// Whether the job was a delivery, so that a prune may be planned in the ledger.
    #[serde(default)]
    pub delivery: bool,
    /// Whether the job's script may have made objects of its own, which bear its labels and any name.
    #[serde(default)]
    pub brokered: bool,
}

/// A service in names and labels, counted from 0.
pub(super) fn service(index: usize) -> String {
    format!("service-{index}")
}

impl RemovalPlan {
    /// What a job's objects are called; more than it may have made. From key and number of services
    /// alone, so that a job is cleaned up though the settings, changed meanwhile, would refuse it by now.
    pub fn of(key: &JobKey, services: usize) -> Self {
        let names = |kinds: [&str; 2]| kinds.map(|kind| key.name(kind));
        let services = (0..services).map(|index| key.name(&service(index)));
        Self {
            job: key.to_string(),
            containers: names(["job", "helper"]).into_iter().chain(services).collect(),
            volumes: names(["builds", "tmp"]).to_vec(),
            delivery: false,
            brokered: false,
        }
    }

    /// What the objects of a job are called at most, by what GitLab and the operator say.
    pub fn of_job(job: &JobResponse, settings: &Settings) -> Self {
        let objects = Self::of(&JobKey::of(job), job.services.len() + settings.services.len());
        let delivery = settings.prune.is_after(&job.job_info.stage);
        let rules = settings.project.iter().filter_map(|rule| rule.docker_socket);
        let mut modes = rules.chain([settings.docker.docker_socket]);
        Self { delivery, brokered: modes.any(|mode| mode == SocketMode::Brokered), ..objects }
    }
}

impl JobPlan {
    /// What this job's objects are called.
    pub fn removal(&self) -> RemovalPlan {
        let objects = RemovalPlan::of(&self.key, self.services.len());
        let brokered = self.socket == SocketMode::Brokered;
        RemovalPlan { delivery: self.prune.is_some(), brokered, ..objects }
    }
}
