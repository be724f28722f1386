//! What a stage used and what went wrong with it, in lines for the job's author. Pure: numbers in, words
//! out; whose fault it was in the end is `verdict`'s business.

use crate::agent::protocol::{DiskFacts, EndedBy, ExitStatus, StageExit};

/// Less free than this, and programs fail for want of space.
const FULL: u64 = 16 << 20;

/// Highest number of a signal.
const LAST_SIGNAL: i32 = 64;

/// What the stage used, in one line.
pub fn resources(exit: &StageExit) -> String {
    let usage = &exit.usage;
    let mut parts = vec![format!("{:.1} s", usage.wall.as_secs_f64())];
    if let Some(cpu) = usage.cpu {
        parts.push(format!("{:.1} s of CPU", cpu.as_secs_f64()));
    }
    parts.extend(match (exit.memory.peak, exit.memory.limit) {
        (Some(peak), Some(limit)) => {
            Some(format!("at most {} of {} of memory", size(peak), size(limit)))
        }
        (Some(peak), None) => Some(format!("at most {} of memory", size(peak))),
        (None, _) => None,
    });
    if let Some((read, written)) = usage.disk {
        parts.push(format!("{} read, {} written", size(read), size(written)));
    }
    if let Some((received, sent)) = usage.network {
        parts.push(format!("{} received, {} sent", size(received), size(sent)));
    }
    if exit.oom_kills > 0 {
        parts.push(format!("{} killed for memory", processes(exit.oom_kills)));
    }
    format!("longshore: used {}", parts.join(", "))
}

/// What went wrong beside the exit code, one line each with what to do about it.
pub fn problems(exit: &StageExit) -> Vec<String> {
    let failed = exit.status.shell_code() != 0;
    let found = [
        memory(exit),
        pids(exit),
        exit.usage.space.as_ref().filter(|_| failed).and_then(disk),
        signal(exit),
        exit.survivors.then(|| {
            "a process of this stage hangs in the kernel and could not be killed".to_owned()
        }),
    ];
    found.into_iter().flatten().map(|problem| format!("longshore: {problem}")).collect()
}

/// Whether the disk was full before the stage had done anything: then its failure is the host's.
pub fn was_full(exit: &StageExit) -> bool {
    exit.usage
        .space
        .as_ref()
        .is_some_and(|space| is_full(space, space.free_before) && is_full(space, space.free))
}

/// A volume may be smaller than what is little on a disk.
fn is_full(space: &DiskFacts, free: u64) -> bool {
    free < FULL.min(space.size / 64)
}

fn memory(exit: &StageExit) -> Option<String> {
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), size);
    (exit.oom_kills > 0).then(|| {
        format!(
            "the kernel killed {} of this stage for memory: limit {}, peak {}\n  \
             use less, or ask the operator of this runner for more ([limits] memory)",
            processes(exit.oom_kills),
            known(exit.memory.limit),
            known(exit.memory.peak),
        )
    })
}

fn pids(exit: &StageExit) -> Option<String> {
    let limit =
        exit.usage.pids.limit.map_or_else(|| "reached".to_owned(), |limit| limit.to_string());
    let refused = exit.usage.pids.refused;
    (refused > 0).then(|| {
        format!(
            "the kernel refused {refused} new processes of this stage: the limit is {limit}\n  \
             start fewer at once, or ask the operator of this runner for more ([limits] pids)"
        )
    })
}

fn disk(space: &DiskFacts) -> Option<String> {
    is_full(space, space.free).then(|| {
        let whose = if is_full(space, space.free_before) {
            "it was so before this stage began: the operator of this runner has to make room"
        } else {
            "write less, or ask the operator of this runner for room"
        };
        format!(
            "the disk of this runner is full: {} free of {} at {}\n  {whose}",
            size(space.free),
            size(space.size),
            space.place
        )
    })
}

/// A signal is told where nothing else explains it: 137 alone makes people think of memory.
fn signal(exit: &StageExit) -> Option<String> {
    if exit.ended_by.is_some() || exit.oom_kills > 0 {
        return None;
    }
    let from_outside = "not for memory, and not by this runner";
    match exit.status {
        ExitStatus::Signal(number) => Some(format!(
            "the script's shell was ended by signal {}: {from_outside}\n  \
             look for a kill in the script, or for somebody on this host",
            name(number)
        )),
        ExitStatus::Code(code) if (129..=128 + LAST_SIGNAL).contains(&code) => Some(format!(
            "exit code {code} means that a command of the script was ended by signal {}: {from_outside}",
            name(code - 128)
        )),
        ExitStatus::Code(_) => None,
    }
}

/// `9 (KILL)`
fn name(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        24 => "XCPU",
        25 => "XFSZ",
        31 => "SYS",
        _ => return signal.to_string(),
    };
    format!("{signal} ({name})")
}

fn processes(count: u64) -> String {
    if count == 1 { "a process".to_owned() } else { format!("{count} processes") }
}

/// For people, to one decimal.
#[expect(clippy::cast_precision_loss, reason = "for people, to one decimal")]
fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(size, _)| bytes >= *size as f64);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(size, name)| format!("{:.1} {name}", bytes / size as f64),
    )
}

/// Whether an end of this kind is never the job's own.
pub fn is_ours(ended_by: EndedBy) -> Option<&'static str> {
    match ended_by {
        EndedBy::Takeover => Some("the stage was ended because the job is cleaned up"),
        EndedBy::Silence => Some("the stage was ended because its driver fell silent"),
        EndedBy::Stop => Some(
            "the job's container was stopped during the stage: the Docker daemon is shutting down, or \
             somebody stopped it",
        ),
        EndedBy::Signal => None,
    }
}

#[cfg(test)]
mod tests;
