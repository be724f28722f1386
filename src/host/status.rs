//! `longshore status`: this host at a glance, for people, for scripts and for Prometheus. It changes
//! nothing but the counters' own file.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cli::StatusArgs;
use crate::engine::{ContainerSummary, Engine, EngineError};
use crate::outcome::Outcome;
use crate::plan::sweep::Doomed;
use crate::settings::Settings;
use crate::stage::error::CallError;
use crate::world::{Stdio, World, unix};

use super::lease::Leases;
use super::reap::{Reap, turn};
use super::shared_file;
use super::space::{self, Seen, Space};
use super::totals::{LastGc, Totals};
use super::{gc, orphans, queue};

mod prometheus;
mod show;

/// This host now.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    /// Unix seconds.
    pub time: u64,
    /// Ours.
    pub version: &'static str,
    /// The daemon's address.
    pub engine: String,
    /// Why the daemon tells nothing, where it does not.
    pub engine_error: Option<String>,
    /// Why the ledger tells nothing new, where it does not: the counters are what they were.
    pub ledger_error: Option<String>,
    /// Jobs whose containers are there.
    pub jobs: Vec<Job>,
    /// Jobs that wait for a place.
    pub waiting: usize,
    /// Jobs that may be there at once.
    pub max_jobs: Option<u32>,
    /// Networks for jobs.
    pub slots: Slots,
    /// Containers that jobs with the raw socket left running.
    pub left_running: Vec<String>,
    /// The room on the daemon's disk.
    pub space: Option<Space>,
    /// Why that cannot be seen, where it cannot.
    pub space_unseen: Option<String>,
    /// What the disk is short of, in words.
    pub shortage: Option<String>,
    /// Images that jobs hold before their containers are there.
    pub leases: Vec<String>,
    /// What `reap` would remove.
    pub leftovers: Vec<Doomed>,
    /// When a reap last began, Unix seconds.
    pub last_reap: Option<u64>,
    /// The last collection.
    pub last_gc: Option<LastGc>,
    /// What the ledger adds up to.
    pub totals: Totals,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// Its key.
    pub key: String,
    /// Its name in `.gitlab-ci.yml`.
    pub name: String,
    /// Project path.
    pub project: String,
    /// GitLab's number of the pipeline.
    pub pipeline: String,
    /// When its container was created, Unix seconds.
    pub since: u64,
    /// What its container is: `running`, `exited`, ...
    pub state: String,
    /// Its network, where that is a slot.
    pub slot: Option<String>,
}

/// Networks for jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// With a container on them.
    pub used: usize,
    /// Without one.
    pub idle: usize,
}

/// The command.
///
/// # Errors
/// When the file cannot be written. A daemon that does not answer, or a ledger that cannot be read, is told
/// with all else, and is an error for people and scripts; a collector of metrics reads of it in them.
pub async fn command<E: Engine>(
    engine: Result<E, EngineError>,
    settings: &Settings,
    world: &World,
    args: &StatusArgs,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let status = gather(engine, settings, world).await;
    let text = if args.prometheus {
        prometheus::text(&status, settings)
    } else if args.json {
        serde_json::to_string(&status).map_err(CallError::system)? + "\n"
    } else {
        show::text(&status, settings)
    };
    match &args.output {
        // Read by another user's collector.
        Some(path) => shared_file::replace(path, text.as_bytes(), 0o644).map_err(|error| {
            CallError::system(format!("failed to write {}: {error}", path.display()))
        })?,
        None => std::io::Write::write_all(&mut stdio.stdout, text.as_bytes())
            .map_err(CallError::system)?,
    }
    let errors: Vec<&str> = [&status.engine_error, &status.ledger_error]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if args.prometheus || errors.is_empty() {
        return Ok(Outcome::Success);
    }
    Err(CallError::system(errors.join("\n")))
}

async fn gather<E: Engine>(
    engine: Result<E, EngineError>,
    settings: &Settings,
    world: &World,
) -> Status {
    let now = (world.clock)();
    let run_dir = &settings.run_dir;
    let (totals, unread) = Totals::update(&settings.state_dir, now);
    let mut status = Status {
        time: unix(now),
        version: env!("CARGO_PKG_VERSION"),
        engine: settings.docker.host.clone(),
        waiting: queue::waiting(run_dir),
        max_jobs: settings.admission.max_jobs,
        leases: Leases::at(run_dir).held().unwrap_or_default(),
        last_reap: turn::last(run_dir).map(unix).max(totals.last_reaped),
        last_gc: totals.last_gc,
        ledger_error: unread.map(|error| error.to_string()),
        totals,
        ..Status::default()
    };
    let seen = match engine {
        Ok(engine) => status.ask(&engine, settings, world).await,
        Err(error) => Err(error.into()),
    };
    status.engine_error = seen.err().map(|error| error.to_string());
    status
}

impl Status {
    /// What the daemon knows.
    async fn ask<E: Engine>(
        &mut self,
        engine: &E,
        settings: &Settings,
        world: &World,
    ) -> Result<(), CallError> {
        match space::look(engine, settings).await? {
            Seen::Space(space) => {
                self.shortage = gc::shortage(settings, &space);
                self.space = Some(space);
            }
            Seen::Unseen(why) => self.space_unseen = Some(why),
        }
        let containers = engine.containers(None).await?;
        self.jobs = jobs(&containers, &settings.docker.slot_prefix);
        self.slots = slots(engine, &containers, &settings.docker.slot_prefix).await?;
        let orphans = orphans::left(settings, &containers).into_iter();
        self.left_running = orphans.map(|one| one.name).collect();
        self.leftovers = Reap { engine: Ok(engine), settings, world }.leftovers().await?;
        Ok(())
    }
}

fn jobs(containers: &[ContainerSummary], slot_prefix: &str) -> Vec<Job> {
    let label = |one: &ContainerSummary, key: &str| {
        one.labels.get(&format!("longshore.{key}")).cloned().unwrap_or_default()
    };
    // A container inherits its image's labels; the name has to fit them.
    let is_job = |one: &&ContainerSummary| {
        let key = label(one, "job");
        label(one, "kind") == "job" && !key.is_empty() && one.name == format!("longshore-{key}-job")
    };
    let mut jobs: Vec<Job> = containers
        .iter()
        .filter(is_job)
        .map(|one| Job {
            key: label(one, "job"),
            name: label(one, "job.name"),
            project: label(one, "project"),
            pipeline: label(one, "pipeline"),
            since: u64::try_from(one.created).unwrap_or_default(),
            state: one.state.clone(),
            slot: one.networks.iter().find(|name| name.starts_with(slot_prefix)).cloned(),
        })
        .collect();
    jobs.sort_by(|left, right| (left.since, &left.key).cmp(&(right.since, &right.key)));
    jobs
}

async fn slots<E: Engine>(
    engine: &E,
    containers: &[ContainerSummary],
    prefix: &str,
) -> Result<Slots, EngineError> {
    let taken: BTreeSet<&String> = containers.iter().flat_map(|one| &one.networks).collect();
    let networks = engine.networks(Some("longshore.kind=slot")).await?;
    let own = networks.iter().filter(|network| network.name.starts_with(prefix));
    let (used, idle): (Vec<_>, Vec<_>) = own.partition(|network| taken.contains(&network.name));
    Ok(Slots { used: used.len(), idle: idle.len() })
}

/// How long ago, in one unit: `12m`.
fn ago(then: u64, now: u64) -> String {
    let seconds = now.saturating_sub(then);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86400, seconds / 3600 % 24),
    }
}
