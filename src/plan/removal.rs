//! What a cleanup removes, by name: it can be worked out though `prepare` never ran. Pure.

use serde::{Deserialize, Serialize};

use super::{JobPlan, Role};

/// The objects of a job, handed to the worker that removes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalPlan {
    /// The job's key, for the ledger.
    pub job: String,
    /// Names of containers.
    pub containers: Vec<String>,
    /// Names of volumes.
    pub volumes: Vec<String>,
}

impl JobPlan {
    /// What this job's objects are called; more than it may have made.
    pub fn removal(&self) -> RemovalPlan {
        let mut containers = vec![self.container_name(Role::Job)];
        if self.helper_image.is_some() {
            containers.push(self.container_name(Role::Helper));
        }
        let volumes = vec![self.key.name("builds"), self.key.name("tmp")];
        RemovalPlan { job: self.key.to_string(), containers, volumes }
    }
}
