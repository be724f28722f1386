//! Removes what the plan says, unless a job has taken it meanwhile. Nothing is forced: what a container
//! uses the engine does not give away.

use super::super::last_use::{Kind as Used, LastUse};
use super::super::lease::{Leases, Seized};
use super::super::space::{Seen, Space};
use super::{Engine, GcPlan, Going, Observation, Report, Settings};
use crate::engine::{CachePrune, EngineError, Fault, Removed};
use crate::plan::gc::{Kind, Reason};
use crate::world::unix;

/// What is tried first on an image.
const LOCK: &str = "lock image";

/// What acting needs.
pub(super) struct Acting<'a, E: Engine> {
    pub(super) engine: &'a E,
    pub(super) settings: &'a Settings,
    /// When its plan was made, Unix seconds.
    pub(super) looked: u64,
    /// What says whether the disk is still short.
    pub(super) observation: &'a Observation,
}

/// Removes and books it in the report; `false` where the engine answers no more.
pub(super) async fn act<E: Engine>(
    acting: &Acting<'_, E>,
    plan: &GcPlan,
    report: &mut Report,
) -> bool {
    let mut lockable = true;
    for going in &plan.remove {
        if going.reason == Reason::LowSpace && acting.has_space() {
            return true;
        }
        if going.kind == Kind::Image && !lockable {
            continue;
        }
        match acting.remove(going).await {
            Ok(true) => {
                match going.kind {
                    Kind::Image => report.freed.images += going.bytes,
                    Kind::CacheVolume => report.freed.cache_volumes += going.bytes,
                }
                report.removed.push(going.clone());
            }
            Ok(false) => {}
            // Somebody began to use it after we had looked.
            Err(error) if error.fault == Fault::Conflict => {}
            // Where there is no room for one lock there is none for the next.
            Err(error) if error.verb == LOCK => {
                lockable = false;
                report.left.push(error.to_string());
            }
            Err(error) => {
                let away = error.fault.is_away();
                report.left.push(error.to_string());
                if away {
                    return false;
                }
            }
        }
    }
    let Some(cache) = &plan.build_cache else { return true };
    let prune = CachePrune {
        keep_bytes: cache.keep_bytes,
        unused_for: std::time::Duration::from_secs(cache.unused_for_seconds),
    };
    match acting.engine.prune_build_cache(&prune).await {
        Ok(bytes) => {
            report.freed.build_cache += bytes;
            true
        }
        Err(error) => {
            report.left.push(error.to_string());
            !error.fault.is_away()
        }
    }
}

impl<E: Engine> Acting<'_, E> {
    /// Whether enough is free by now: what things were said to take was an estimate.
    fn has_space(&self) -> bool {
        let Some(space) = self.observation.seen.space() else { return false };
        let now = Space::of(&space.path).map(Seen::Space);
        now.is_ok_and(|now| !self.observation.is_still_short(self.settings, &now))
    }

    /// Whether one thing is gone now by our hand: not where it is to stay after all, or was gone already.
    async fn remove(&self, going: &Going) -> Result<bool, EngineError> {
        let record = LastUse::at(&self.settings.state_dir);
        let kind = match going.kind {
            Kind::Image => Used::Image,
            Kind::CacheVolume => Used::CacheVolume,
        };
        // Held until it is gone: no job begins to use an image meanwhile.
        let seized = match going.kind {
            Kind::Image => match self.seize(going)? {
                None => return Ok(false),
                seized => seized,
            },
            Kind::CacheVolume => None,
        };
        if record.of(kind, &going.name).map_or(0, unix) > going.last_use.max(self.looked) {
            return Ok(false);
        }
        let gone = match going.kind {
            Kind::CacheVolume => self.engine.remove_volume(&going.name).await?,
            Kind::Image => self.remove_image(going).await?,
        };
        drop(seized);
        record.forget(kind, &going.name);
        Ok(gone == Removed::Gone)
    }

    fn seize(&self, going: &Going) -> Result<Option<Seized>, EngineError> {
        let names: Vec<&str> =
            going.references.iter().chain([&going.name]).map(String::as_str).collect();
        Leases::at(&self.settings.run_dir).seize(&names).map_err(|error| EngineError {
            verb: LOCK,
            object: going.shown(),
            fault: Fault::Daemon,
            cause: format!("{error}; no image can go until there is room for its lock"),
            retry_after: None,
        })
    }

    /// By each of its names: the image goes with the last. With a name that stays, it stays.
    async fn remove_image(&self, going: &Going) -> Result<Removed, EngineError> {
        if going.references.is_empty() {
            return self.engine.remove_image(&going.name).await;
        }
        let mut gone = Removed::Absent;
        for reference in &going.references {
            // A digest goes with the last tag of its repository, and is absent then.
            if self.engine.remove_image(reference).await? == Removed::Gone {
                gone = Removed::Gone;
            }
        }
        Ok(gone)
    }
}
