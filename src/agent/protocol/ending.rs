//! How a stage ended, and what its container had to do with it.

use serde::{Deserialize, Serialize};

use super::{Usage, WireSecret};

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageExit {
    /// The number or signal of the stage's own first process.
    pub status: ExitStatus,
    /// Why it was ended from outside, where it was.
    pub ended_by: Option<EndedBy>,
    /// Processes the kernel killed for memory while the stage ran.
    pub oom_kills: u64,
    /// Memory of the container at the end.
    pub memory: MemoryFacts,
    /// The entrypoint ended without reading one byte of the script.
    pub script_unread: bool,
    /// A process could not be killed within the sweep's deadline (it hangs in the kernel).
    pub survivors: bool,
    /// Values that the stage's scripts added to those to be masked.
    pub added_masks: Vec<WireSecret>,
    /// What it used.
    pub usage: Usage,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// By itself, with this number.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl ExitStatus {
    /// The number a shell would show: the code, or 128 + signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// What ended a stage from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndedBy {
    /// The driver that ran it asked so.
    Signal,
    /// Another session took over.
    Takeover,
    /// Its driver fell silent for [`SILENCE_ENDS`].
    Silence,
    /// The engine stopped the container.
    Stop,
}

/// Memory of the container as its cgroup tells; `None` where it tells nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFacts {
    /// Limit in bytes; `None` also where there is no limit.
    pub limit: Option<u64>,
    /// Highest use so far in bytes.
    pub peak: Option<u64>,
    /// Processes the kernel killed for memory in the container's life.
    pub oom_kills: Option<u64>,
}
