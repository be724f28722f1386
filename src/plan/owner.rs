//! Who owns a job's objects and until when, as it stands on their labels. Pure.

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

/// A point in time by both clocks of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Unix seconds, for people and other tools: somebody may set this clock.
    pub unix: u64,
    /// Seconds since the host's boot, which nobody sets.
    pub uptime: u64,
}

const DEADLINE: &str = "longshore.deadline";
const DEADLINE_UPTIME: &str = "longshore.deadline.uptime";

impl Moment {
    /// So many seconds later.
    #[must_use]
    pub fn later(self, seconds: u64) -> Self {
        Self {
            unix: self.unix.saturating_add(seconds),
            uptime: self.uptime.saturating_add(seconds),
        }
    }

    /// Whether it is over at `now`, in the same boot of the host: only the clock that nobody sets counts, for
    /// a host whose clock jumps must not lose the jobs that run.
    pub fn is_over(self, now: Self) -> bool {
        now.uptime > self.uptime
    }

    /// Writes it on labels as the job's deadline.
    pub fn write_deadline(self, labels: &mut Labels) {
        labels.insert(DEADLINE.to_owned(), self.unix.to_string());
        labels.insert(DEADLINE_UPTIME.to_owned(), self.uptime.to_string());
    }

    /// Reads the job's deadline from labels; `None` where they tell none.
    pub fn read_deadline(labels: &Labels) -> Option<Self> {
        let seconds = |label: &str| labels.get(label)?.parse().ok();
        Some(Self { unix: seconds(DEADLINE)?, uptime: seconds(DEADLINE_UPTIME)? })
    }
}
