//! Carries out what was planned after a delivery: by tag, never by force, never what somebody holds, and
//! only while a name still is the image that was planned. It plans nothing itself.

mod act;
pub mod age;
pub mod command;
pub mod record;
pub mod remote;

pub use act::{Done, act};

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;

use crate::engine::{Engine, EngineError, ImageSummary};
use crate::plan::prune::{LocalImage, Pipeline, PrunePlan, PrunePolicy, Seen};
use crate::settings::Settings;
use crate::world::unix;

use super::ledger::history::Entry;
use super::ledger::{Event, Ledger};
use super::shared_file::{self, Locked};

/// A plan that could not be carried out for so long is given up: what it is about has changed since.
const GIVEN_UP: Duration = Duration::from_hours(24);

/// A plan as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pending {
    /// The key of the delivery job.
    pub job: String,
    /// What it follows from.
    pub policy: PrunePolicy,
    /// What goes.
    pub references: Vec<String>,
    /// The image of each.
    pub images: Vec<String>,
    /// The id of `latest`.
    pub latest: Option<String>,
}

impl Pending {
    /// A plan of a job's, to be written down.
    pub fn new(job: &str, policy: &PrunePolicy, plan: &PrunePlan) -> Self {
        Self {
            job: job.to_owned(),
            policy: policy.clone(),
            references: plan.remove.iter().map(|one| one.reference.clone()).collect(),
            images: plan.remove.iter().map(|one| one.image.clone()).collect(),
            latest: plan.latest.clone(),
        }
    }

    /// As an event: before it is acted on.
    pub fn event(&self) -> Event<'_> {
        Event::Pruning {
            job: &self.job,
            policy: &self.policy,
            references: &self.references,
            images: &self.images,
            latest: self.latest.as_deref(),
        }
    }
}

/// What there is, for a plan.
///
/// # Errors
/// When the engine does not answer.
pub async fn observe<E: Engine>(engine: &E, now: SystemTime) -> Result<Seen, EngineError> {
    let (containers, images) = tokio::join!(engine.containers(None), engine.images());
    let containers = containers?;
    Ok(Seen {
        at_work: containers.iter().filter_map(|one| Pipeline::of(&one.labels)).collect(),
        used: containers.into_iter().map(|one| one.image_id).collect(),
        images: images?.into_iter().map(local).collect(),
        recent: BTreeSet::new(),
        now: unix(now),
    })
}

fn local(image: ImageSummary) -> LocalImage {
    LocalImage {
        revision: LocalImage::revision_of(&image.labels),
        pipeline: Pipeline::of(&image.labels),
        id: image.id,
        tags: image.tags,
        digests: image.digests,
        created: image.created,
        touched: None,
    }
}

/// Carries out the plan of a job that has ended, where it has one; answers what could not be done.
pub async fn of_job<E: Engine>(
    engine: &E,
    settings: &Settings,
    (job, now): (&str, SystemTime),
) -> Vec<String> {
    let carried_out = async {
        let _lock = wait_for_lock(&settings.run_dir)?;
        let mut pending = pending(settings, now)?;
        pending.retain(|plan| plan.job == job);
        Ok(finish(engine, settings, (now, &pending)).await)
    };
    carried_out.await.unwrap_or_else(|error: String| vec![error])
}

/// Carries out plans whose worker was killed; those of jobs that still have containers are their cleanup's.
/// Answers what could not be done. It asks the engine nothing where there is no such plan.
pub async fn finish_interrupted<E: Engine>(
    engine: &E,
    settings: &Settings,
    now: SystemTime,
) -> Vec<String> {
    let carried_out = async {
        let Some(_lock) = attempt_lock(&settings.run_dir)? else {
            return Ok(Vec::new());
        };
        let mut pending = pending(settings, now)?;
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let containers = engine.containers(Some(JOB)).await.map_err(|error| error.to_string())?;
        let living: BTreeSet<&String> =
            containers.iter().filter_map(|one| one.labels.get(JOB)).collect();
        pending.retain(|plan| !living.contains(&plan.job));
        Ok(finish(engine, settings, (now, &pending)).await)
    };
    carried_out.await.unwrap_or_else(|error: String| vec![error])
}

/// The label with a job's key.
const JOB: &str = "longshore.job";

async fn finish<E: Engine>(
    engine: &E,
    settings: &Settings,
    (now, pending): (SystemTime, &[Pending]),
) -> Vec<String> {
    let ledger = Ledger::at(&settings.state_dir);
    let mut failed = Vec::new();
    for plan in pending {
        let done = act(engine, settings, (now, plan)).await;
        if done.moved {
            failed.extend(done.left.last().cloned());
        }
        if done.unfinished {
            failed.extend(done.left);
        } else if let Err(error) = ledger.append(&done.event(&plan.job), now) {
            failed.push(error.to_string());
        }
    }
    failed
}

/// Plans that are in the ledger without their end.
fn pending(settings: &Settings, now: SystemTime) -> Result<Vec<Pending>, String> {
    let ledger = Ledger::at(&settings.state_dir);
    let mut pending: Vec<Pending> = Vec::new();
    let oldest = now.checked_sub(GIVEN_UP).unwrap_or(SystemTime::UNIX_EPOCH);
    let oldest = humantime::format_rfc3339_millis(oldest).to_string();
    // Where it cannot be read, history is lost and nothing else: the next delivery plans anew.
    let entries = ledger.of_kinds(&["pruning", "pruned"]).map_err(|error| error.to_string())?;
    for entry in entries {
        pending.retain(|plan| plan.job != entry.job());
        // Of one length and one zone, so their order is that of time.
        if entry.event == "pruning" && entry.time >= oldest {
            pending.extend(read(&entry).filter(|plan| !plan.references.is_empty()));
        }
    }
    Ok(pending)
}

/// A plan of the ledger; `None` where it is another version's.
pub fn read(entry: &Entry) -> Option<Pending> {
    Pending::deserialize(Value::Object(entry.fields.clone())).ok()
}

/// The lock: two that carry out the same plan would tell each other's removals as their own failures.
const LOCK: &str = "prune.lock";

fn wait_for_lock(run_dir: &Path) -> Result<Locked, String> {
    let locked = shared_file::open_lock(run_dir, LOCK).and_then(shared_file::lock);
    locked.map_err(|error| no_lock(run_dir, &error))
}

/// `None` where somebody is at it.
fn attempt_lock(run_dir: &Path) -> Result<Option<Locked>, String> {
    let locked = shared_file::open_lock(run_dir, LOCK).and_then(shared_file::try_lock);
    locked.map_err(|error| no_lock(run_dir, &error))
}

fn no_lock(run_dir: &Path, error: &io::Error) -> String {
    format!("failed to take the lock {}: {error}", run_dir.join(LOCK).display())
}
