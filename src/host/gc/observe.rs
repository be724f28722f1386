//! What takes up room on the engine, and when it was last used.

use super::super::last_use::LastUse;
use super::super::last_use::traces;
use super::super::lease::Leases;
use super::super::space::{self, Seen};
use super::seeing::Seeing;
use super::{CallError, Engine, GcPlan, Settings, World};
use crate::plan::gc::{self, Observed, Policy, Room};
use crate::settings::{Amount, GcSettings};
use crate::world::unix;

/// What was seen.
pub(super) struct Observation {
    pub(super) observed: Observed,
    pub(super) seen: Seen,
    /// Whether bytes, and inodes, are brought up to `high`: because they were below `low`.
    filling: (bool, bool),
}

/// Looks at everything.
pub(super) async fn look<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
) -> Result<Observation, CallError> {
    let seen = space::look(engine, settings).await?;
    let filling = seen.space().map_or((false, false), |space| {
        let gc = &settings.gc;
        let bytes = gc.free.shortage(space.free_bytes, space.bytes);
        let inodes = gc.free_inodes.shortage(space.free_inodes, space.inodes);
        (bytes.is_some(), space.inodes > 0 && inodes.is_some())
    });
    look_on(engine, settings, world, seen, filling).await
}

async fn look_on<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    seen: Seen,
    filling: (bool, bool),
) -> Result<Observation, CallError> {
    // Together: a daemon that hangs is found out by the list, long before the count is late.
    let (usage, containers) = tokio::try_join!(engine.disk_usage(), engine.containers(None))?;
    let facts = traces::facts(engine, usage.images.iter().map(|image| image.id.clone())).await?;
    let now = (world.clock)();
    let record = LastUse::at(&settings.state_dir);
    let leased = Leases::at(&settings.run_dir).held().map_err(|error| {
        CallError::system(format!("failed to read which images jobs hold in run_dir: {error}"))
    })?;
    let leased = leased.into_iter().collect();
    let seeing = Seeing { usage, containers, facts, record, leased, now };
    let observed = seeing.observed(settings.gc.min_age.0.as_secs())?;
    Ok(Observation { observed, seen, filling })
}

impl Observation {
    /// Looks once more, on the way to the same marks.
    pub(super) async fn again<E: Engine>(
        &self,
        engine: &E,
        settings: &Settings,
        world: &World,
    ) -> Result<Self, CallError> {
        let seen = space::look(engine, settings).await?;
        look_on(engine, settings, world, seen, self.filling).await
    }

    /// What is to go.
    pub(super) fn plan(&self, settings: &Settings, world: &World) -> GcPlan {
        let named = gc::named(settings);
        let policy = Policy {
            room: self.room(&settings.gc),
            need_bytes: self.need(&settings.gc, &self.seen),
            min_age: settings.gc.min_age.0.as_secs(),
            now: unix((world.clock)()),
            keep: &settings.gc.keep,
            named: &named,
        };
        gc::plan(&self.observed, &policy)
    }

    /// Whether the disk has less free than is wanted once something is removed at all.
    pub(super) fn is_still_short(&self, settings: &Settings, seen: &Seen) -> bool {
        self.need(&settings.gc, seen) > 0
    }

    /// What each kind may take, where that can be told.
    pub(super) fn room(&self, gc: &GcSettings) -> Room {
        let whole = self.seen.space().map(|space| space.bytes);
        let of = |amount: Amount| match whole {
            Some(whole) => Some(amount.of(whole)),
            None => amount.fixed(),
        };
        Room {
            images: of(gc.images),
            cache_volumes: of(gc.cache_volumes),
            build_cache: of(gc.build_cache),
        }
    }

    /// Bytes to be freed so that bytes and inodes come up to their marks.
    fn need(&self, gc: &GcSettings, seen: &Seen) -> u64 {
        let Some(space) = seen.space() else { return 0 };
        let lacking = |high: Amount, free: u64, whole: u64| high.of(whole).saturating_sub(free);
        let mut need = 0;
        if self.filling.0 {
            let high = gc.free.high.of(space.bytes).max(gc.free.low.of(space.bytes));
            need = lacking(Amount::Fixed(high), space.free_bytes, space.bytes);
        }
        if self.filling.1 {
            let high =
                gc.free_inodes.high.of(space.inodes).max(gc.free_inodes.low.of(space.inodes));
            let inodes = lacking(Amount::Fixed(high), space.free_inodes, space.inodes);
            let used = space.inodes.saturating_sub(space.free_inodes);
            need = need.max(in_bytes(inodes, used, self.bytes()));
        }
        need
    }

    fn bytes(&self) -> u64 {
        let volumes: u64 = self.observed.volumes.iter().map(|one| one.size).sum();
        let records: u64 = self.observed.records.iter().map(|one| one.size).sum();
        self.observed.images_bytes + volumes + records
    }
}

/// The engine tells no inodes: each byte is taken to stand for as many as the next.
fn in_bytes(inodes: u64, used: u64, bytes: u64) -> u64 {
    let share = u128::from(inodes) * u128::from(bytes) / u128::from(used.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}
