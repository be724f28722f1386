//! What this host has to share out: memory and CPUs. Reads `/proc`, decides nothing.

use std::fs;
use std::io;

use crate::settings::Capacity;

/// The host's memory and the CPUs that this process may use.
///
/// # Errors
/// When `/proc/meminfo` cannot be read or says nothing of memory.
pub fn read() -> io::Result<Capacity> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kibibytes =
        total(&text).ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal"))?;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    Ok(Capacity {
        memory_bytes: kibibytes.saturating_mul(1024),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
    })
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_total_is_read() {
        assert_eq!(super::total("MemFree: 1 kB\nMemTotal:       16384 kB\n"), Some(16384));
        assert_eq!(super::total("MemFree: 1 kB\n"), None);
    }
}
