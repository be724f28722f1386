//! What a stage used: the container's counters before and after it, from its cgroups (version 2 or 1),
//! its network and its disk. It changes nothing there; what cannot be read is left out.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::cgroup::{field, number, text};
use super::protocol::{DiskFacts, PidFacts, Usage};

/// Counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    at: Instant,
    counters: Counters,
    free: Option<u64>,
}

/// Ever growing numbers of the container's life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counters {
    cpu: Option<Duration>,
    disk: Option<(u64, u64)>,
    network: Option<(u64, u64)>,
    refused_forks: Option<u64>,
}

impl Moment {
    /// Looks at the counters now.
    pub(super) fn now(cgroup: &Path) -> Self {
        let counters = Counters {
            cpu: cpu(cgroup),
            disk: disk(cgroup),
            network: network("/proc/net/dev".as_ref()),
            refused_forks: field(cgroup, &["pids.events", "pids/pids.events"], "max"),
        };
        Self { at: Instant::now(), counters, free: space().map(|(free, _)| free) }
    }

    /// What was used since.
    pub(super) fn until_now(self, cgroup: &Path) -> Usage {
        let now = Self::now(cgroup);
        let (before, after) = (self.counters, now.counters);
        let pair = |before: Option<(u64, u64)>, after: Option<(u64, u64)>| {
            after
                .zip(before)
                .map(|(now, then)| (now.0.saturating_sub(then.0), now.1.saturating_sub(then.1)))
        };
        let refused = after.refused_forks.zip(before.refused_forks);
        Usage {
            wall: now.at.duration_since(self.at),
            cpu: after.cpu.zip(before.cpu).map(|(now, then)| now.saturating_sub(then)),
            disk: pair(before.disk, after.disk),
            network: pair(before.network, after.network),
            pids: PidFacts {
                refused: refused.map_or(0, |(now, then)| now.saturating_sub(then)),
                limit: number(cgroup, &["pids.max", "pids/pids.max"]),
            },
            space: self.free.zip(space()).map(|(free_before, (free, size))| DiskFacts {
                free_before,
                free,
                size,
            }),
        }
    }
}

fn cpu(root: &Path) -> Option<Duration> {
    let version_2 = field(root, &["cpu.stat"], "usage_usec").map(Duration::from_micros);
    version_2.or_else(|| {
        let nanoseconds = number(root, &["cpuacct/cpuacct.usage", "cpu,cpuacct/cpuacct.usage"]);
        nanoseconds.map(Duration::from_nanos)
    })
}

/// Bytes read from and written to disks.
fn disk(root: &Path) -> Option<(u64, u64)> {
    if let Some(text) = text(root, &["io.stat"]) {
        let sum = |name: &str| {
            let words = text.split_whitespace();
            words.filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok()).sum()
        };
        return Some((sum("rbytes="), sum("wbytes=")));
    }
    let text = text(root, &["blkio/blkio.throttle.io_service_bytes_recursive"])?;
    let sum = |name: &str| {
        let numbers = text.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            (words.next() == Some(name)).then(|| words.next()?.parse::<u64>().ok()).flatten()
        });
        numbers.sum()
    };
    Some((sum("Read"), sum("Write")))
}

/// Bytes received and sent on all interfaces but the loopback.
fn network(path: &Path) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(path).ok()?;
    let of_line = |line: &str| -> Option<(u64, u64)> {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        (name.trim() != "lo")
            .then(|| Some((numbers.first()?.parse().ok()?, numbers.get(8)?.parse().ok()?)))
            .flatten()
    };
    let lines = text.lines().skip(2).filter_map(of_line);
    Some(lines.fold((0, 0), |(received, sent), line| (received + line.0, sent + line.1)))
}

/// Bytes free for an ordinary user and bytes in all, where the container's own files and, as a rule, the
/// daemon's volumes are.
fn space() -> Option<(u64, u64)> {
    let about = rustix::fs::statvfs("/").ok()?;
    Some((about.f_bavail.checked_mul(about.f_frsize)?, about.f_blocks.checked_mul(about.f_frsize)?))
}

#[cfg(test)]
mod tests {
    use super::super::cgroup::with_files as root;
    use super::*;

    #[test]
    fn version_2_is_read() {
        let root = root(&[
            ("cpu.stat", "usage_usec 1500000\nuser_usec 1\n"),
            ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=1 wbytes=2\n"),
            ("pids.events", "max 3\n"),
            ("pids.max", "max\n"),
        ]);
        assert_eq!(cpu(root.path()), Some(Duration::from_millis(1500)));
        assert_eq!(disk(root.path()), Some((11, 22)));
        let before = Moment::now(root.path());
        std::fs::write(root.path().join("pids.events"), "max 5\n").unwrap();
        std::fs::write(root.path().join("cpu.stat"), "usage_usec 1700000\n").unwrap();
        let used = before.until_now(root.path());
        assert_eq!(used.pids, PidFacts { refused: 2, limit: None });
        assert_eq!(used.cpu, Some(Duration::from_millis(200)));
        assert_eq!(used.disk, Some((0, 0)));
    }

    #[test]
    fn version_1_is_read() {
        let root = root(&[
            ("cpuacct/cpuacct.usage", "2000000000\n"),
            (
                "blkio/blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 1\n8:16 Write 2\nTotal 33\n",
            ),
            ("pids/pids.events", "max 1\n"),
            ("pids/pids.max", "64\n"),
        ]);
        assert_eq!(cpu(root.path()), Some(Duration::from_secs(2)));
        assert_eq!(disk(root.path()), Some((11, 22)));
        let used = Moment::now(root.path()).until_now(root.path());
        assert_eq!(used.pids, PidFacts { refused: 0, limit: Some(64) });
    }

    #[test]
    fn nothing_readable_is_nothing_known() {
        let used = Moment::now("/none".as_ref()).until_now("/none".as_ref());
        assert_eq!((used.cpu, used.disk, used.pids), (None, None, PidFacts::default()));
    }

    #[test]
    fn the_loopback_does_not_count() {
        let root = root(&[(
            "dev",
            "Inter-| Receive | Transmit\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 200 2\n",
        )]);
        assert_eq!(network(&root.path().join("dev")), Some((100, 200)));
    }
}
