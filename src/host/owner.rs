//! Who owns a job's objects: the runner process that asked for them. Reads `/proc`, decides nothing.

use std::fs;
use std::io;
use std::time::Duration;

use crate::plan::owner::{Moment, Owner};
use crate::world::{World, unix};

/// Describes the process `pid` as an owner.
///
/// # Errors
/// When `/proc` does not tell (the process is gone, or there is no `/proc`).
pub fn describe(pid: u32) -> io::Result<Owner> {
    Ok(Owner {
        boot_id: boot_id()?,
        pid_namespace: pid_namespace()?,
        pid,
        start_time: start_time(pid)?,
    })
}

/// Whether this owner still lives, as far as this process can see.
///
/// An owner in another pid namespace cannot be seen from here: `None`, and its deadline decides.
///
/// # Errors
/// When `/proc` does not tell of ourselves.
pub fn is_alive(owner: &Owner) -> io::Result<Option<bool>> {
    if boot_id()? != owner.boot_id {
        return Ok(Some(false));
    }
    if pid_namespace()? != owner.pid_namespace {
        return Ok(None);
    }
    Ok(Some(start_time(owner.pid).is_ok_and(|start| start == owner.start_time)))
}

/// Whether it lived after the last boot of this host.
pub fn is_of_this_boot(owner: &Owner) -> bool {
    boot_id().is_ok_and(|boot| boot == owner.boot_id)
}

/// Whether there is a process of this number here.
pub fn lives(pid: u32) -> bool {
    start_time(pid).is_ok()
}

/// The time by both clocks. Where `/proc` does not tell the uptime, no deadline is over.
pub fn now(world: &World) -> Moment {
    let uptime = since_boot().map_or(0, |since| since.as_secs());
    Moment { unix: unix((world.clock)()), uptime }
}

/// Time since the boot, sleep included. No clock that is set can change it.
///
/// # Errors
/// When `/proc` does not tell.
pub fn since_boot() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    let known = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    known.ok_or_else(|| io::Error::other("/proc/uptime does not begin with a number"))
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn pid_namespace() -> io::Result<String> {
    Ok(fs::read_link("/proc/self/ns/pid")?.to_string_lossy().into_owned())
}

/// Field 22 of `/proc/PID/stat`; the command name before it may hold blanks and parentheses. A zombie
/// counts as gone: it can ask for nothing any more.
fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the process has ended"));
    }
    fields.nth(18).and_then(|field| field.parse().ok()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat has no start time"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on() {
        let before = since_boot().unwrap();
        assert!(before > Duration::ZERO && since_boot().unwrap() >= before);
    }

    #[test]
    fn this_process_is_alive_until_its_start_time_differs() {
        let me = describe(std::process::id()).unwrap();
        assert_eq!(is_alive(&me).unwrap(), Some(true));
        let reused = Owner { start_time: me.start_time + 1, ..me.clone() };
        assert_eq!(is_alive(&reused).unwrap(), Some(false));
        let rebooted = Owner { boot_id: "other".into(), ..me.clone() };
        assert_eq!(is_alive(&rebooted).unwrap(), Some(false));
        assert!(!is_of_this_boot(&rebooted) && is_of_this_boot(&me));
        let elsewhere = Owner { pid_namespace: "pid:[1]".into(), ..me };
        assert_eq!(is_alive(&elsewhere).unwrap(), None);
    }
}
