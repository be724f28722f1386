//! What takes up room on the engine, and when it was last used.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use super::super::last_use::traces::{self, Traces};
use super::super::last_use::{Kind, LastUse};
use super::super::lease::Leases;
use super::super::space::{self, Seen};
use super::{CallError, Engine, GcPlan, Settings, World};
use crate::engine::{ContainerSummary, DiskUsage, ImageFacts, ImageUsage};
use crate::plan::gc::{self, Image, Observed, Policy, Record, Room, Volume};
use crate::plan::{cache, login};
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

struct Seeing {
    usage: DiskUsage,
    containers: Vec<ContainerSummary>,
    facts: HashMap<String, ImageFacts>,
    record: LastUse,
    leased: HashSet<String>,
    now: SystemTime,
}

impl Seeing {
    fn observed(&self, min_age: u64) -> Result<Observed, CallError> {
        let fail = |error: std::io::Error| {
            CallError::system(format!(
                "failed to read when images were last used ({error}); remove the directory last-use in \
                 state_dir: only the order of removal is lost with it"
            ))
        };
        let images_used: HashSet<&str> =
            self.containers.iter().map(|one| one.image_id.as_str()).collect();
        let volumes_used: HashSet<&str> =
            self.containers.iter().flat_map(|one| &one.volumes).map(String::as_str).collect();
        // An order, and no more: what cannot be written down is in use now all the same.
        for id in &images_used {
            drop(self.record.note(Kind::Image, id, self.now));
        }
        for name in volumes_used.iter().filter(|name| cache::is_volume(name)) {
            drop(self.record.note(Kind::CacheVolume, name, self.now));
        }
        let images = self.record.all(Kind::Image, self.now).map_err(fail)?;
        let volumes = self.record.all(Kind::CacheVolume, self.now).map_err(fail)?;
        let observed = Observed {
            images: self
                .usage
                .images
                .iter()
                .map(|one| self.image(one, &images, &images_used))
                .collect(),
            images_bytes: self.usage.layers_bytes,
            volumes: self.volumes(&volumes, &volumes_used),
            records: self.records(),
        };
        self.forget(&images, &volumes, min_age);
        Ok(observed)
    }

    fn image(
        &self,
        image: &ImageUsage,
        known: &HashMap<String, u64>,
        used: &HashSet<&str>,
    ) -> Image {
        let facts = self.facts.get(&image.id);
        let nameless = image.tags.is_empty() && image.digests.is_empty();
        let traces = Traces {
            id: &image.id,
            recorded: known.get(&image.id).copied(),
            tagged: facts.and_then(|facts| facts.tagged),
            built: nameless.then(|| u64::try_from(image.created).unwrap_or_default()),
        };
        Image {
            id: image.id.clone(),
            references: image.tags.iter().chain(&image.digests).cloned().collect(),
            parent: image.parent.clone(),
            layers: facts.map(|facts| facts.layers.clone()).unwrap_or_default(),
            size: image.size,
            shared: image.shared,
            last_use: self.record.of_image(&traces, self.now),
            used: used.contains(image.id.as_str()),
            leased: self.is_leased(image),
        }
    }

    fn is_leased(&self, image: &ImageUsage) -> bool {
        let names = [&image.id].into_iter().chain(&image.tags).chain(&image.digests);
        !self.leased.is_empty()
            && names.into_iter().any(|name| self.leased.contains(&login::canonical(name)))
    }

    fn volumes(&self, known: &HashMap<String, u64>, used: &HashSet<&str>) -> Vec<Volume> {
        let caches = self.usage.volumes.iter().filter(|one| {
            one.labels.get("longshore.kind").is_some_and(|kind| kind == "cache")
                && cache::is_volume(&one.name)
        });
        caches
            .map(|one| Volume {
                name: one.name.clone(),
                size: one.size.unwrap_or_default(),
                last_use: known.get(&one.name).copied().or(one.created).unwrap_or_default(),
                used: one.users > 0 || used.contains(one.name.as_str()),
            })
            .collect()
    }

    fn records(&self) -> Vec<Record> {
        let own = self.usage.build_cache.iter().filter(|one| !one.shared);
        own.map(|one| Record {
            size: one.size,
            last_use: one.last_used.unwrap_or_default(),
            used: one.in_use,
        })
        .collect()
    }

    /// Forgets what is gone, but not what may have come since the engine was asked.
    fn forget(&self, images: &HashMap<String, u64>, volumes: &HashMap<String, u64>, min_age: u64) {
        let old = unix(self.now).saturating_sub(min_age.max(3600));
        let there: HashSet<&String> = self.usage.images.iter().map(|one| &one.id).collect();
        for (id, _) in images.iter().filter(|(id, used)| **used < old && !there.contains(id)) {
            self.record.forget(Kind::Image, id);
        }
        let there: HashSet<&String> = self.usage.volumes.iter().map(|one| &one.name).collect();
        for (name, _) in volumes.iter().filter(|(name, used)| **used < old && !there.contains(name))
        {
            self.record.forget(Kind::CacheVolume, name);
        }
    }
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
