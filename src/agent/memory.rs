//! Reads what the container's memory cgroup tells, version 2 or 1. It changes nothing there.

use std::path::Path;

use super::cgroup::{field, number};
use super::protocol::MemoryFacts;

/// Where a container shows its cgroups.
pub(super) const CGROUP: &str = "/sys/fs/cgroup";

/// A version 1 limit from here on means "none" (it is the largest page-aligned number).
const NO_LIMIT: u64 = 1 << 62;

/// The facts as seen under this root, `/sys/fs/cgroup` in a container.
pub(super) fn facts(root: &Path) -> MemoryFacts {
    if root.join("memory.events").exists() || root.join("cgroup.controllers").exists() {
        return MemoryFacts {
            limit: number(root, &["memory.max"]),
            peak: number(root, &["memory.peak"]),
            oom_kills: field(root, &["memory.events"], "oom_kill"),
        };
    }
    let limit = number(root, &["memory/memory.limit_in_bytes"]);
    MemoryFacts {
        limit: limit.filter(|limit| *limit < NO_LIMIT),
        peak: number(root, &["memory/memory.max_usage_in_bytes"]),
        oom_kills: field(root, &["memory/memory.oom_control"], "oom_kill"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cgroup::with_files as root;
    use super::*;

    #[test]
    fn version_2_is_read() {
        let root = root(&[
            ("memory.max", "33554432\n"),
            ("memory.peak", "1000\n"),
            ("memory.events", "low 0\noom 4\noom_kill 3\noom_group_kill 0\n"),
        ]);
        let expected =
            MemoryFacts { limit: Some(33_554_432), peak: Some(1000), oom_kills: Some(3) };
        assert_eq!(facts(root.path()), expected);
    }

    #[test]
    fn version_2_without_limit_has_none() {
        let root = root(&[("memory.max", "max\n"), ("memory.events", "oom_kill 0\n")]);
        assert_eq!(facts(root.path()).limit, None);
    }

    #[test]
    fn version_1_is_read_and_its_huge_limit_is_none() {
        let root = root(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.max_usage_in_bytes", "77\n"),
            ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ]);
        let expected = MemoryFacts { limit: None, peak: Some(77), oom_kills: Some(2) };
        assert_eq!(facts(root.path()), expected);
    }

    #[test]
    fn nothing_readable_is_nothing_known() {
        assert_eq!(facts(root(&[]).path()), MemoryFacts::default());
    }
}
