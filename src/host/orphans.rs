//! Containers that jobs with the raw Docker socket left running: how many there are, and the manual reset,
//! `longshore reap --force-orphans`.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;

use crate::cli::ReapArgs;
use crate::engine::{ContainerSummary, Engine, Removed};
use crate::outcome::Outcome;
use crate::plan::container::Labels;
use crate::plan::orphan::{self, Orphan, Seen};
use crate::settings::Settings;
use crate::stage::error::CallError;
use crate::world::{Stdio, World, unix};

use super::ledger::{Event, Ledger};
use super::shared_file;

/// The label of a job's container that has the raw socket, with its value.
const RAW: (&str, &str) = ("longshore.socket", "raw");

/// Writes down on a job's container that it has the raw socket.
pub fn mark(labels: &mut Labels) {
    labels.insert(RAW.0.to_owned(), RAW.1.to_owned());
}

/// Whether another job with the raw socket is there, whose containers may be among those that run.
pub fn is_raw_job(container: &ContainerSummary) -> bool {
    container.labels.get(RAW.0).is_some_and(|mode| mode == RAW.1)
}

/// Those of these containers that jobs left running.
pub fn left(settings: &Settings, containers: &[ContainerSummary]) -> Vec<Orphan> {
    // Before the first such job there is nothing that one could have left.
    let Some(first) = first_raw_job(&settings.run_dir) else { return Vec::new() };
    let running = containers.iter().filter(|one| matches!(&*one.state, "running" | "paused"));
    let seen = |one: &ContainerSummary| Seen {
        name: one.name.clone(),
        labels: one.labels.clone(),
        created: one.created,
    };
    orphan::left(&running.map(seen).collect::<Vec<_>>(), &settings.admission, first)
}

/// Remembers the time of the first job with the raw socket since the boot: what is older is not a job's.
pub fn remember_raw_job(run_dir: &Path, now: SystemTime) {
    if first_raw_job(run_dir).is_some() {
        return;
    }
    let now = unix(now);
    // Without it nothing counts as left behind, which stops no job.
    drop(shared_file::replace(&memory(run_dir), format!("{now}\n").as_bytes(), 0o600));
}

fn first_raw_job(run_dir: &Path) -> Option<i64> {
    let text = shared_file::read(&memory(run_dir)).ok()?;
    String::from_utf8(text).ok()?.trim().parse().ok()
}

fn memory(run_dir: &Path) -> PathBuf {
    run_dir.join("first-raw-job")
}

/// The command: lists them, asks, removes.
///
/// # Errors
/// When the engine does not answer, something cannot be removed, or nobody said yes.
pub async fn reset<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    asked: &ReapArgs,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let containers = engine.containers(None).await?;
    let left = left(settings, &containers);
    let busy = containers.iter().any(is_raw_job);
    tell(&left, busy, asked, (world.clock)(), &mut stdio.stdout).map_err(CallError::system)?;
    if left.is_empty() || asked.plan {
        return Ok(Outcome::Success);
    }
    if !asked.orphans.yes && !is_confirmed(&mut stdio, left.len()).map_err(CallError::system)? {
        return Err(CallError::job("nothing was removed"));
    }
    remove(engine, settings, world, &left).await
}

async fn remove<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    left: &[Orphan],
) -> Result<Outcome, CallError> {
    let (mut gone, mut failed) = (Vec::new(), Vec::new());
    for one in left {
        match engine.remove_container(&one.name).await {
            Ok(Removed::Gone) => gone.push(one.name.clone()),
            Ok(Removed::Absent) => {}
            Err(error) => failed.push(error.to_string()),
        }
    }
    if !gone.is_empty() {
        let event = Event::Reaped { objects: &gone, left: &failed };
        // History, not state: what is gone is gone whether it is written down or not.
        drop(Ledger::at(&settings.state_dir).append(&event, (world.clock)()));
    }
    if failed.is_empty() { Ok(Outcome::Success) } else { Err(CallError::system(failed.join("\n"))) }
}

fn tell(
    left: &[Orphan],
    busy: bool,
    asked: &ReapArgs,
    now: SystemTime,
    out: &mut impl Write,
) -> io::Result<()> {
    if asked.json {
        serde_json::to_writer(&mut *out, &json!({ "orphans": left, "raw_job_runs": busy }))?;
        return writeln!(out);
    }
    if left.is_empty() {
        return writeln!(out, "no container that a job left running");
    }
    let now = unix(now);
    for one in left {
        let age = now.saturating_sub(u64::try_from(one.created).unwrap_or(0));
        let age = humantime::format_duration(std::time::Duration::from_secs(age));
        writeln!(out, "container {}, created {age} ago", one.name)?;
    }
    if busy {
        writeln!(out, "a job with the raw Docker socket runs: some of these may be its own")?;
    }
    Ok(())
}

/// Asks on the terminal; the end of the input is no.
fn is_confirmed(stdio: &mut Stdio, count: usize) -> io::Result<bool> {
    write!(stdio.stdout, "remove {count} of them? [y/N] ")?;
    let mut answer = String::new();
    BufReader::new(&stdio.stdin).read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_raw_job_is_remembered_and_no_later_one() {
        let directory = tempfile::tempdir().unwrap();
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        assert_eq!(first_raw_job(directory.path()), None);
        remember_raw_job(directory.path(), at(7));
        remember_raw_job(directory.path(), at(9));
        assert_eq!(first_raw_job(directory.path()), Some(7));
        fs::write(memory(directory.path()), "torn").unwrap();
        remember_raw_job(directory.path(), at(9));
        assert_eq!(first_raw_job(directory.path()), Some(9));
    }
}
