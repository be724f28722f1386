//! Removes what the plan says, unless a job has taken it meanwhile. Nothing is forced: what a container
//! uses the engine does not give away.

use super::super::last_use::{Kind as Used, LastUse, unix};
use super::{Engine, GcPlan, Going, Report, Settings, World};
use crate::engine::{CachePrune, EngineError, Fault, Removed};
use crate::plan::gc::Kind;

/// What acting needs.
pub(super) struct Acting<'a, E: Engine> {
    pub(super) engine: &'a E,
    pub(super) settings: &'a Settings,
    pub(super) world: &'a World,
}

/// Removes and books it in the report.
pub(super) async fn act<E: Engine>(acting: &Acting<'_, E>, plan: &GcPlan, report: &mut Report) {
    for going in &plan.remove {
        match acting.remove(going).await {
            Ok(Some(_)) => {
                match going.kind {
                    Kind::Image => report.freed.images += going.bytes,
                    Kind::CacheVolume => report.freed.cache_volumes += going.bytes,
                }
                report.removed.push(going.clone());
            }
            Ok(None) => {}
            // Somebody began to use it after we had looked.
            Err(error) if error.fault == Fault::Conflict => {}
            Err(error) => report.left.push(error.to_string()),
        }
    }
    let Some(cache) = &plan.build_cache else { return };
    let prune = CachePrune {
        keep_bytes: cache.keep_bytes,
        unused_for: std::time::Duration::from_secs(cache.unused_for_seconds),
    };
    match acting.engine.prune_build_cache(&prune).await {
        Ok(bytes) => report.freed.build_cache += bytes,
        Err(error) => report.left.push(error.to_string()),
    }
}

impl<E: Engine> Acting<'_, E> {
    /// Removes one thing; `None` where it is to stay after all, or was gone already.
    async fn remove(&self, going: &Going) -> Result<Option<()>, EngineError> {
        let (kind, record) = match going.kind {
            Kind::Image => (Used::Image, LastUse::at(&self.settings.state_dir)),
            Kind::CacheVolume => (Used::CacheVolume, LastUse::at(&self.settings.state_dir)),
        };
        let used = record.of(kind, &going.name).map_or(0, unix);
        let now = unix((self.world.clock)());
        if used > going.last_use && used.saturating_add(self.settings.gc.min_age.0.as_secs()) > now
        {
            return Ok(None);
        }
        let gone = match going.kind {
            Kind::CacheVolume => self.engine.remove_volume(&going.name).await?,
            Kind::Image => self.remove_image(going).await?,
        };
        record.forget(kind, &going.name);
        Ok((gone == Removed::Gone).then_some(()))
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
