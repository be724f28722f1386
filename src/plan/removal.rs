//! What a cleanup removes, by name: it can be worked out though `prepare` never ran. Pure.

use serde::{Deserialize, Serialize};

use super::{JobKey, JobPlan};

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

impl RemovalPlan {
    /// What a job's objects are called; more than it may have made. From the key alone, so that a job is
    /// cleaned up though the settings, changed meanwhile, would refuse it by now.
    pub fn of(key: &JobKey) -> Self {
        let names = |kinds: [&str; 2]| kinds.map(|kind| key.name(kind)).to_vec();
        Self {
            job: key.to_string(),
            containers: names(["job", "helper"]),
            volumes: names(["builds", "tmp"]),
        }
    }
}

impl JobPlan {
    /// What this job's objects are called.
    pub fn removal(&self) -> RemovalPlan {
        RemovalPlan::of(&self.key)
    }
}
