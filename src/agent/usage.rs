//! What a stage used: the container's counters before and after it, from its cgroups (version 2 or 1),
//! its network and its disk. It changes nothing there; what cannot be read is left out.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::cgroup::{field, number, text};
use super::protocol::{DiskFacts, PidFacts, Usage};

/// Counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    at: Instant,
    counters: Counters,
    disks: Vec<Disk>,
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
        Self { at: Instant::now(), counters, disks: disks("/proc/self/mounts".as_ref()) }
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
            space: fullest(&self.disks, now.disks),
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

/// A disk that the container's files are on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Disk {
    place: String,
    /// Bytes free for an ordinary user.
    free: u64,
    size: u64,
}

/// The root and what is mounted below it to be written to: as a rule one disk of the daemon's, but a
/// volume may be smaller. The engine's own files and what lies in memory are none of them.
fn disks(mounts: &Path) -> Vec<Disk> {
    let text = std::fs::read_to_string(mounts).unwrap_or_default();
    text.lines().filter_map(writable).filter_map(|place| room(&place)).collect()
}

/// The place of a line of `/proc/self/mounts` that is a disk to write to.
fn writable(line: &str) -> Option<String> {
    let mut words = line.split(' ').skip(1);
    let (place, kind, options) = (words.next()?, words.next()?, words.next()?);
    let of_kernel = ["/proc", "/sys", "/dev", "/etc", "/run", "/.longshore"];
    let is_file = |place: &str| std::fs::metadata(place).is_ok_and(|about| !about.is_dir());
    let other = matches!(kind, "proc" | "sysfs" | "cgroup" | "cgroup2")
        || of_kernel.iter().any(|directory| place.starts_with(directory))
        || options.split(',').any(|option| option == "ro");
    (!other && !is_file(place)).then(|| place.to_owned())
}

fn room(place: &str) -> Option<Disk> {
    let about = rustix::fs::statvfs(place).ok()?;
    let free = about.f_bavail.checked_mul(about.f_frsize)?;
    Some(Disk { place: place.to_owned(), free, size: about.f_blocks.checked_mul(about.f_frsize)? })
}

/// The one with the least room now, as it was before.
fn fullest(before: &[Disk], now: Vec<Disk>) -> Option<DiskFacts> {
    let Disk { place, free, size } =
        now.into_iter().filter(|disk| disk.size > 0).min_by_key(|disk| disk.free)?;
    let free_before = before.iter().find(|disk| disk.place == place)?.free;
    Some(DiskFacts { place, free_before, free, size })
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

    #[test]
    fn disks_are_what_a_job_can_fill() {
        let root = root(&[(
            "mounts",
            "overlay / overlay rw,relatime 0 0\nproc /proc proc rw 0 0\n\
             tmpfs /dev/shm tmpfs rw 0 0\n/dev/sda1 /etc/hosts ext4 rw 0 0\n\
             /dev/sda1 /tmp ext4 rw 0 0\n/dev/sda1 /usr ext4 ro,relatime 0 0\n",
        )]);
        let found = disks(&root.path().join("mounts"));
        let places: Vec<&str> = found.iter().map(|disk| disk.place.as_str()).collect();
        assert_eq!(places, ["/", "/tmp"]);
    }

    #[test]
    fn the_fullest_disk_counts() {
        let disk = |place: &str, free| Disk { place: place.to_owned(), free, size: 100 };
        let before = [disk("/", 90), disk("/builds", 8)];
        let told = fullest(&before, vec![disk("/", 80), disk("/builds", 1)]);
        let expected =
            DiskFacts { place: "/builds".to_owned(), free_before: 8, free: 1, size: 100 };
        assert_eq!(told, Some(expected));
        assert_eq!(fullest(&before, Vec::new()), None);
    }
}
