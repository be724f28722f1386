//! What a stage used, as the agent tells it. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a stage used; `None` where the container's kernel interfaces tell nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From its start until nothing of it was left.
    pub wall: Duration,
    /// Time on CPUs, all of them together.
    pub cpu: Option<Duration>,
    /// Bytes read from and written to disks.
    pub disk: Option<(u64, u64)>,
    /// Bytes received and sent on the job's network.
    pub network: Option<(u64, u64)>,
    /// The limit of processes.
    pub pids: PidFacts,
    /// The disk with the least room.
    pub space: Option<DiskFacts>,
}

/// The limit of processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidFacts {
    /// How often a process was refused for it while the stage ran.
    pub refused: u64,
    /// The limit; `None` where there is none or it cannot be read.
    pub limit: Option<u64>,
}

/// The fullest of the disks that a container's files are on, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFacts {
    /// Where it is mounted in the container.
    pub place: String,
    /// Free when the stage began.
    pub free_before: u64,
    /// Free when it ended.
    pub free: u64,
    /// In all.
    pub size: u64,
}
