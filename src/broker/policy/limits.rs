//! How much a container may use: what the job asks for, as long as it is less than what it may have
//! (note 3.3).

use serde_json::{Map, Value, json};

use super::Case;
use crate::broker::refusal::Refusal;
use crate::broker::request::limits::Limits;

/// Most open files, where the operator set nothing.
const FILES: i64 = 1 << 20;

/// Memory of `/dev/shm` without a limit of the operator's: it counts as the container's memory.
const SHM: i64 = 2 << 30;

/// Smallest memory that the daemon takes.
const LEAST_MEMORY: i64 = 6 << 20;

/// Writes the limits in force into a `HostConfig`.
pub(super) fn write(
    case: Case<'_>,
    asked: &Limits,
    host: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    let own = &case.view.limits;
    let memory = smaller("Memory", asked.memory, own.memory_bytes)?;
    let pids = smaller("PidsLimit", asked.pids.max(0), own.pids.map(u64::from))?;
    let cpus = smaller("NanoCpus", nano_cpus(asked)?, own.nano_cpus)?;
    if memory.is_some_and(|bytes| bytes < LEAST_MEMORY) {
        return Err(Refusal::malformed("limits", "Memory must be at least 6 MiB"));
    }
    let mut set = |key: &str, value: Value| drop(host.insert(key.to_owned(), value));
    if let Some(memory) = memory {
        set("Memory", json!(memory));
        set("MemorySwap", json!(swap(case, memory)));
        if asked.memory_reservation > 0 {
            set("MemoryReservation", json!(asked.memory_reservation.min(memory)));
        }
    }
    if let Some(pids) = pids {
        set("PidsLimit", json!(pids));
    }
    if let Some(cpus) = cpus {
        set("NanoCpus", json!(cpus));
    }
    let shares = own.cpu_shares.map_or(1024, i64::from);
    if asked.cpu_shares > 0 || own.cpu_shares.is_some() {
        let wanted = if asked.cpu_shares > 0 { asked.cpu_shares } else { shares };
        set("CpuShares", json!(wanted.clamp(2, shares.max(2))));
    }
    for (key, value) in [("CpusetCpus", &own.cpuset_cpus), ("CpusetMems", &own.cpuset_mems)] {
        if let Some(value) = value {
            set(key, json!(value));
        }
    }
    if let Some(shm) = shm(asked.shm, own.shm_bytes, memory)? {
        set("ShmSize", json!(shm));
    }
    set("OomScoreAdj", json!(oom_score(asked.oom_score)?));
    set("Ulimits", json!(ulimits(case, &asked.ulimits)?));
    if let Some(parent) = &own.cgroup_parent {
        set("CgroupParent", json!(parent));
    }
    Ok(())
}

/// The operator's share of swap at most: what is beyond the memory.
fn swap(case: Case<'_>, memory: i64) -> i64 {
    let own = &case.view.limits;
    let more = own
        .memory_swap_bytes
        .unwrap_or_default()
        .saturating_sub(own.memory_bytes.unwrap_or_default());
    memory.saturating_add(signed(more))
}

fn smaller(field: &str, asked: i64, own: Option<u64>) -> Result<Option<i64>, Refusal> {
    let own = own.map(signed);
    match own {
        _ if asked < 0 => Err(Refusal::malformed("limits", format!("{field} is negative"))),
        None => Ok((asked > 0).then_some(asked)),
        Some(own) if asked == 0 => Ok(Some(own)),
        Some(own) => Ok(Some(asked.min(own))),
    }
}

/// `--cpus`, or a quota of a period.
fn nano_cpus(asked: &Limits) -> Result<i64, Refusal> {
    let (quota, period) = asked.cpu_quota;
    if asked.nano_cpus != 0 || quota <= 0 {
        return Ok(asked.nano_cpus);
    }
    let period = if period == 0 { 100_000 } else { period };
    if !(1_000..=1_000_000).contains(&period) {
        return Err(Refusal::malformed("limits", "CpuPeriod must be 1 ms to 1 s"));
    }
    // The daemon takes no less than a hundredth of a CPU.
    Ok((quota.saturating_mul(1_000_000_000) / period).max(10_000_000))
}

fn shm(asked: i64, own: Option<u64>, memory: Option<i64>) -> Result<Option<i64>, Refusal> {
    let most = own.map(signed).or(memory).unwrap_or(SHM);
    match asked {
        0 => Ok(own.map(signed)),
        ..0 => Err(Refusal::malformed("limits", "ShmSize is negative")),
        asked => Ok(Some(asked.min(most))),
    }
}

fn oom_score(asked: i64) -> Result<i64, Refusal> {
    match asked {
        0..=1000 => Ok(asked),
        _ => Err(Refusal::forbidden(
            "limits",
            "OomScoreAdj must be 0 to 1000: nothing dies for a job",
        )),
    }
}

/// No core files; the operator's limits where there are some; else files and memory locks.
fn ulimits(case: Case<'_>, asked: &[(String, i64, i64)]) -> Result<Vec<Value>, Refusal> {
    let own = &case.view.limits.ulimits;
    let mut all = vec![json!({"Name": "core", "Soft": 0, "Hard": 0})];
    for (name, soft, hard) in own.iter().filter(|(name, ..)| name != "core") {
        let wanted = asked.iter().find(|(asked, ..)| asked == name);
        let within = |value: i64, most: i64| most == -1 || (0..=most).contains(&value);
        let fits = wanted
            .filter(|(_, soft, asked_hard)| within(*soft, *hard) && within(*asked_hard, *hard));
        if wanted.is_some() && fits.is_none() {
            return Err(Refusal::forbidden("limits", "a limit of Ulimits is above the job's own"));
        }
        let (soft, hard) = fits.map_or((*soft, *hard), |(_, soft, hard)| (*soft, *hard));
        all.push(json!({"Name": name, "Soft": soft, "Hard": hard}));
    }
    for (name, soft, hard) in
        asked.iter().filter(|(name, ..)| !own.iter().any(|(own, ..)| own == name))
    {
        let fits = match name.as_str() {
            "nofile" | "nproc" | "sigpending" | "msgqueue" => {
                (0..=FILES).contains(hard) && (0..=*hard).contains(soft)
            }
            // What is locked counts as the container's memory.
            "memlock" | "stack" => *hard >= -1 && *soft >= -1,
            "core" => continue,
            _ => false,
        };
        if !fits {
            let message = "Ulimits may set nofile, nproc (at most 1048576), memlock and stack";
            return Err(Refusal::forbidden("limits", message));
        }
        all.push(json!({"Name": name, "Soft": soft, "Hard": hard}));
    }
    Ok(all)
}

/// The daemon's numbers are signed; no machine has more than `i64::MAX` of anything.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
