//! From what engine and record say to what the planner wants to know: who uses what, and since when nobody does.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use super::super::last_use::traces::Traces;
use super::super::last_use::{Kind, LastUse};
use super::CallError;
use crate::engine::{ContainerSummary, DiskUsage, ImageFacts, ImageUsage};
use crate::plan::gc::{Image, Observed, Record, Volume};
use crate::plan::{cache, login};
use crate::world::unix;

/// What was asked for, from the engine and from our own record.
pub(super) struct Seeing {
    pub(super) usage: DiskUsage,
    pub(super) containers: Vec<ContainerSummary>,
    pub(super) facts: HashMap<String, ImageFacts>,
    pub(super) record: LastUse,
    pub(super) leased: HashSet<String>,
    pub(super) now: SystemTime,
}

impl Seeing {
    /// As the planner wants it; what is in use now is noted down on the way.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(super) fn observed(&self, min_age: u64) -> Result<Observed, CallError> {
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
