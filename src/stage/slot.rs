//! Leases a slot network: `longshore-slot-N`, made once, used by one job at a time.
//!
//! The lease is the job's container itself: a slot is taken while any container, ours or not, stands on
//! it. Between looking and creating a lock is held, so that two jobs do not choose the same one.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use crate::engine::ContainerSummary;
use crate::host::shared_file::{self, Locked};

/// A lock on slots, held until dropped.
#[derive(Debug)]
pub struct SlotLock(#[expect(dead_code, reason = "it ends with its value")] Locked);

impl SlotLock {
    /// Takes a lock of the host by the name of its file; waits for whoever holds it. On choosing a slot it
    /// is `slots.lock`, under which one container is created.
    ///
    /// # Errors
    /// When the lock file cannot be made in `run_dir`.
    pub fn take(run_dir: &Path, name: &str) -> io::Result<Self> {
        shared_file::lock(shared_file::open_lock(run_dir, name)?).map(Self)
    }
}

/// The lowest slot that no container stands on.
pub fn free(prefix: &str, containers: &[ContainerSummary]) -> String {
    let taken: HashSet<&str> =
        containers.iter().flat_map(|one| one.networks.iter().map(String::as_str)).collect();
    let mut number = 0_usize;
    loop {
        let name = format!("{prefix}{number}");
        if !taken.contains(name.as_str()) {
            return name;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(networks: &[&str]) -> ContainerSummary {
        ContainerSummary {
            id: String::new(),
            name: String::new(),
            image_id: String::new(),
            state: "exited".into(),
            labels: std::collections::BTreeMap::new(),
            networks: networks.iter().map(|name| (*name).to_owned()).collect(),
            volumes: Vec::new(),
            created: 0,
        }
    }

    #[test]
    fn a_stopped_container_still_holds_its_slot() {
        let containers = [on(&["longshore-slot-0"]), on(&["bridge", "longshore-slot-2"])];
        assert_eq!(free("longshore-slot-", &containers), "longshore-slot-1");
        assert_eq!(free("longshore-slot-", &[]), "longshore-slot-0");
    }
}
