//! `[limits]`, and the `limits` of a helper, of services and of a project: how much a container may use.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::amount::{Share, Ulimit};
use super::value::overlay;
use super::{ByteSize, Problem};

/// What this host has, for `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// CPUs.
    pub cpus: u32,
}

/// `[limits]`, of one container. What is left out keeps the more general value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Memory; without `memory_swap` there is no swap on top of it.
    pub memory: Option<Share<ByteSize>>,
    /// Memory and swap together.
    pub memory_swap: Option<ByteSize>,
    /// Memory that is taken back down to when the host runs short.
    pub memory_reservation: Option<ByteSize>,
    /// CPUs, fractions allowed.
    pub cpus: Option<Share<f64>>,
    /// The CPUs it may run on, such as `0-3,6`.
    pub cpuset_cpus: Option<String>,
    /// The memory nodes it may use.
    pub cpuset_mems: Option<String>,
    /// Weight against other containers where CPU is short; 1024 is usual.
    pub cpu_shares: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Size of `/dev/shm`.
    pub shm_size: Option<ByteSize>,
    /// Limits of `setrlimit` by name.
    pub ulimits: Option<BTreeMap<String, Ulimit>>,
    /// The cgroup that the container's own is made in.
    pub cgroup_parent: Option<String>,
    /// Size of the tmpfs for GitLab's file variables.
    pub file_variables: Option<ByteSize>,
}

/// Another name for limits that lie over others.
pub type LimitOverrides = LimitSettings;

/// Processes and threads where nobody said otherwise: room for any build, and an end for a fork bomb.
const PIDS: u32 = 4096;

/// Bytes for file variables where nobody said otherwise.
const FILE_VARIABLES: ByteSize = ByteSize(64 << 20);

impl LimitSettings {
    /// These limits where `own` has none. Swap and reservation belong to the memory that they were
    /// written beside.
    #[must_use]
    pub fn with(&self, own: &LimitOverrides) -> Self {
        let mut general = self.clone();
        if own.memory.is_some() {
            (general.memory_swap, general.memory_reservation) = (None, None);
        }
        overlay!(
            general,
            own,
            memory,
            memory_swap,
            memory_reservation,
            cpus,
            cpuset_cpus,
            cpuset_mems,
            cpu_shares,
            pids,
            shm_size,
            ulimits,
            cgroup_parent,
            file_variables
        )
    }

    /// These limits with each `auto` worked out for a host that runs so many jobs at once.
    #[must_use]
    pub fn shared(&self, capacity: Capacity, concurrency: u32) -> Self {
        let concurrency = concurrency.max(1);
        let memory = self.memory.map(|memory| match memory {
            Share::Auto => Share::Amount(ByteSize(capacity.memory_bytes / u64::from(concurrency))),
            amount @ Share::Amount(_) => amount,
        });
        let cpus = self.cpus.map(|cpus| match cpus {
            Share::Auto => Share::Amount(f64::from(capacity.cpus) / f64::from(concurrency)),
            amount @ Share::Amount(_) => amount,
        });
        Self { memory, cpus, ..self.clone() }
    }

    /// Processes and threads.
    pub fn pids(&self) -> u32 {
        self.pids.unwrap_or(PIDS)
    }

    /// Size of the tmpfs for GitLab's file variables.
    pub fn file_variables(&self) -> ByteSize {
        self.file_variables.unwrap_or(FILE_VARIABLES)
    }

    /// Whether something is a share of the host.
    pub(super) fn is_auto(&self) -> bool {
        self.memory == Some(Share::Auto) || self.cpus == Some(Share::Auto)
    }

    /// Of limits that lie over others, both together are to be checked.
    pub(super) fn check(&self, key: &str) -> Problem {
        self.check_memory(key)?;
        let fail = |name: &str, problem: &str| Err((format!("{key}.{name}"), problem.to_owned()));
        let cpus = self.cpus.and_then(|cpus| cpus.amount());
        if cpus.is_some_and(|cpus| !(0.01..=4096.0).contains(&cpus)) {
            return fail("cpus", "is not a number of CPUs such as 2 or 1.5");
        }
        let sets = [("cpuset_cpus", &self.cpuset_cpus), ("cpuset_mems", &self.cpuset_mems)];
        for (name, set) in sets {
            if set.as_ref().is_some_and(|set| !is_set(set)) {
                return fail(name, "is no list of numbers such as \"0-3,6\"");
            }
        }
        if self.pids == Some(0) {
            return fail("pids", "must not be 0; leave the key out for 4096");
        }
        if self.file_variables.is_some_and(|bytes| bytes.0 < 4096) {
            return fail("file_variables", "is too small to hold a file");
        }
        Ok(())
    }

    fn check_memory(&self, key: &str) -> Problem {
        let fail = |name: &str, problem: &str| Err((format!("{key}.{name}"), problem.to_owned()));
        let memory = self.memory.and_then(|memory| memory.amount());
        // Docker's own least; below it no container starts, and the daemon blames the job.
        if memory.is_some_and(|memory| memory.0 < 6 << 20) {
            return fail("memory", "is less than the 6m that an engine accepts");
        }
        if self.memory_swap.zip(memory).is_some_and(|(swap, memory)| swap.0 < memory.0) {
            return fail(
                "memory_swap",
                "is memory and swap together, so it cannot be less than memory",
            );
        }
        if self.memory_swap.is_some() && self.memory.is_none() {
            return fail("memory_swap", "needs memory, here or in the more general limits");
        }
        if self.memory_reservation.zip(memory).is_some_and(|(least, most)| least.0 > most.0) {
            return fail("memory_reservation", "cannot be more than memory");
        }
        Ok(())
    }
}

fn is_set(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    !text.is_empty() && text.split(',').all(|part| part.split('-').all(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_host_by_the_jobs_at_once() {
        let auto = LimitSettings {
            memory: Some(Share::Auto),
            cpus: Some(Share::Auto),
            ..LimitSettings::default()
        };
        let shared = auto.shared(Capacity { memory_bytes: 16 << 30, cpus: 6 }, 4);
        assert_eq!(shared.memory, Some(Share::Amount(ByteSize(4 << 30))));
        assert_eq!(shared.cpus, Some(Share::Amount(1.5)));
    }

    #[test]
    fn sets_of_cpus() {
        for (text, good) in [("0", true), ("0-3,6", true), ("", false), ("a", false), ("1,", false)]
        {
            assert_eq!(is_set(text), good, "{text}");
        }
    }
}
