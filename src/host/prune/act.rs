//! Removes what a plan names: each reference under its lock, and only while it is the image that was planned. What
//! it cannot remove it leaves, and says why.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::{Pending, age};
use crate::engine::{Engine, EngineError, Fault, ImageSummary, Removed};
use crate::host::lease::Leases;
use crate::host::ledger::Event;
use crate::plan::prune::PrunePolicy;
use crate::settings::Settings;

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Done {
    /// References that are gone.
    pub removed: Vec<String>,
    /// What stayed, and why; and what is wrong.
    pub left: Vec<String>,
    /// Bytes freed, as far as the engine tells.
    pub bytes: u64,
    /// The engine failed: the plan is to be tried once more.
    pub unfinished: bool,
    /// `latest` is not what it was.
    pub moved: bool,
}

impl Done {
    /// As an event.
    pub fn event<'a>(&'a self, job: &'a str) -> Event<'a> {
        Event::Pruned { job, references: &self.removed, bytes: self.bytes, left: &self.left }
    }
}

/// Removes what a plan names.
pub async fn act<E: Engine>(
    engine: &E,
    settings: &Settings,
    (now, plan): (SystemTime, &Pending),
) -> Done {
    let mut done = Done::default();
    if plan.references.is_empty() {
        return done;
    }
    let acting = Acting { engine, settings, now, policy: &plan.policy };
    // For the count of bytes alone, which is none then.
    let before = engine.images().await.unwrap_or_default();
    let mut all = plan.references.iter().zip(&plan.images);
    let mut away = false;
    for (reference, image) in all.by_ref() {
        match acting.remove(reference, image).await {
            Ok(None) => done.removed.push(reference.clone()),
            Ok(Some(why)) => done.left.push(format!("{reference}: {why}")),
            Err(error) => {
                done.unfinished = true;
                done.left.push(error.to_string());
                away = error.fault.is_away();
                if away {
                    break;
                }
            }
        }
    }
    done.left.extend(all.map(|(reference, _)| format!("{reference}: not tried any more")));
    if away {
        return done;
    }
    match engine.images().await {
        Ok(after) => {
            done.bytes = freed(&before, &after);
            let told = moved(plan, &after);
            done.moved = told.is_some();
            done.left.extend(told);
        }
        Err(error) => done.left.push(error.to_string()),
    }
    done
}

/// What removing needs.
struct Acting<'a, E> {
    engine: &'a E,
    settings: &'a Settings,
    now: SystemTime,
    policy: &'a PrunePolicy,
}

impl<E: Engine> Acting<'_, E> {
    /// Removes one reference; where it stays, says why.
    async fn remove(
        &self,
        reference: &str,
        image: &str,
    ) -> Result<Option<&'static str>, EngineError> {
        let leases = Leases::at(&self.settings.run_dir);
        let Ok(seized) = leases.seize(&[reference, image]) else {
            return Ok(Some("its lock file in run_dir cannot be used"));
        };
        let Some(_seized) = seized else { return Ok(Some("a job is about to use it")) };
        let Some(facts) = self.engine.image(reference).await? else {
            return Ok(Some("it was gone already"));
        };
        if facts.id != image {
            return Ok(Some("it is another image by now"));
        }
        if age::is_young(self.settings, (self.policy, self.now), &facts) {
            return Ok(Some("it was pulled, tagged or used meanwhile"));
        }
        match self.engine.remove_image(reference).await {
            Ok(Removed::Gone) => Ok(None),
            Ok(Removed::Absent) => Ok(Some("it was gone already")),
            Err(error) if error.fault == Fault::Conflict => Ok(Some("a container uses it")),
            Err(error) => Err(error),
        }
    }
}

/// `latest` is what this is all about.
fn moved(plan: &Pending, after: &[ImageSummary]) -> Option<String> {
    let (latest, before) = (plan.policy.latest(), plan.latest.as_ref()?);
    let now = after.iter().find(|image| image.tags.contains(&latest)).map(|image| &image.id);
    if now == Some(before) {
        return None;
    }
    let now = now.map_or("gone", String::as_str);
    Some(format!("WARNING: {latest} was {before} before the prune, and is {now} after it"))
}

/// Bytes of images that are there no more.
fn freed(before: &[ImageSummary], after: &[ImageSummary]) -> u64 {
    let left: BTreeSet<&String> = after.iter().map(|image| &image.id).collect();
    before.iter().filter(|image| !left.contains(&image.id)).map(|image| image.size).sum()
}
