//! Who owns a job's objects, as it stands on their labels. Pure.

use serde::{Deserialize, Serialize};

use super::container::Labels;

/// The runner process that asked for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The kernel's boot id.
    pub boot_id: String,
    /// The pid namespace the number belongs to.
    pub pid_namespace: String,
    /// The process.
    pub pid: u32,
    /// Its start time in clock ticks since boot, because numbers are used again.
    pub start_time: u64,
}

const BOOT: &str = "longshore.owner.boot";
const NAMESPACE: &str = "longshore.owner.pid-namespace";
const PID: &str = "longshore.owner.pid";
const START: &str = "longshore.owner.start-time";

impl Owner {
    /// Writes the owner on labels.
    pub fn write(&self, labels: &mut Labels) {
        labels.insert(BOOT.to_owned(), self.boot_id.clone());
        labels.insert(NAMESPACE.to_owned(), self.pid_namespace.clone());
        labels.insert(PID.to_owned(), self.pid.to_string());
        labels.insert(START.to_owned(), self.start_time.to_string());
    }

    /// Reads the owner from labels; `None` where they tell none.
    pub fn read(labels: &Labels) -> Option<Self> {
        Some(Self {
            boot_id: labels.get(BOOT)?.clone(),
            pid_namespace: labels.get(NAMESPACE)?.clone(),
            pid: labels.get(PID)?.parse().ok()?,
            start_time: labels.get(START)?.parse().ok()?,
        })
    }
}
