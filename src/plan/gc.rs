//! What goes so that images, caches and build cache keep within their room and the disk keeps some free.
//! Pure: observe, plan, act; this is "plan".
//!
//! The least recently used goes first, an image never before those that are built on it, and never what
//! somebody uses, is about to use, has just used, or has named.

use std::collections::BTreeSet;

use serde::Serialize;

use super::login;
use crate::settings::{Patterns, Settings};

mod images;
mod layers;
mod named;
mod work;

pub use named::named;

/// One image on this host.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// `sha256:...`
    pub id: String,
    /// All its names: `repo:tag`, `repo@sha256:...`.
    pub references: Vec<String>,
    /// Id of the image that it was built on, where the engine knows one.
    pub parent: String,
    /// Its layers from the lowest on.
    pub layers: Vec<String>,
    /// Bytes of all its layers.
    pub size: u64,
    /// Of them, in layers that another image has too.
    pub shared: u64,
    /// Unix seconds.
    pub last_use: u64,
    /// A container is made of it.
    pub used: bool,
    /// A job is between its pull and its container.
    pub leased: bool,
}

/// One volume with a project's cache.
#[derive(Debug, Clone, Default)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Unix seconds.
    pub last_use: u64,
    /// A container mounts it.
    pub used: bool,
}

/// One record of the build cache.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Bytes.
    pub size: u64,
    /// Unix seconds.
    pub last_use: u64,
    /// A build is at it.
    pub used: bool,
}

/// What takes up room.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Images.
    pub images: Vec<Image>,
    /// Bytes of all their layers, each counted once.
    pub images_bytes: u64,
    /// Cache volumes.
    pub volumes: Vec<Volume>,
    /// Build cache, without what images have too.
    pub records: Vec<Record>,
}

/// How much each kind may take, in bytes; `None` where that cannot be told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Room {
    /// Images.
    pub images: Option<u64>,
    /// Cache volumes.
    pub cache_volumes: Option<u64>,
    /// Build cache.
    pub build_cache: Option<u64>,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Policy<'a> {
    /// How much each kind may take.
    pub room: Room,
    /// Bytes that are to be free beyond those that are.
    pub need_bytes: u64,
    /// What was used within so many seconds stays.
    pub min_age: u64,
    /// Unix seconds.
    pub now: u64,
    /// References and names that stay.
    pub keep: &'a Patterns,
    /// References that the settings name, see [`named()`].
    pub named: &'a BTreeSet<String>,
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An image.
    Image,
    /// A volume with a project's cache.
    CacheVolume,
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its kind takes more room than it may.
    OverBudget,
    /// The file system has less free than it should.
    LowSpace,
}

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stay {
    /// A container uses it.
    Used,
    /// A job is about to use it.
    Leased,
    /// The settings name it.
    Named,
    /// `[gc] keep` matches it.
    Keep,
    /// It was used, pulled or tagged too short a time ago.
    Young,
    /// An image that stays is built on it.
    HasChildren,
    /// All of it is part of images that stay: nothing would be freed.
    FreesNothing,
    /// Enough goes that was not used for longer.
    Enough,
}

/// Something that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Going {
    /// What it is.
    pub kind: Kind,
    /// An image's id, a volume's name.
    pub name: String,
    /// An image's names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// What is expected to be freed.
    pub bytes: u64,
    /// Unix seconds.
    pub last_use: u64,
    /// Why.
    pub reason: Reason,
}

/// Something that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Staying {
    /// What it is.
    pub kind: Kind,
    /// An image's first name, or its id; a volume's name.
    pub name: String,
    /// Why.
    pub reason: Stay,
}

/// What of the build cache goes: all that was not used for so long, but for the last so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BuildCache {
    /// Bytes that stay.
    pub keep_bytes: u64,
    /// What was used within this time stays.
    pub unused_for_seconds: u64,
    /// What is expected to be freed.
    pub bytes: u64,
    /// Why.
    pub reason: Reason,
}

/// What goes and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GcPlan {
    /// Images and volumes, in the order of their removal.
    pub remove: Vec<Going>,
    /// What of the build cache goes.
    pub build_cache: Option<BuildCache>,
    /// What stays.
    pub kept: Vec<Staying>,
    /// What is expected to be freed in all.
    pub bytes: u64,
    /// What is wanted beyond that, and nothing is left to go for it.
    pub missing_bytes: u64,
}

impl GcPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.build_cache.is_none()
    }
}

/// Plans a collection over what is on this host.
pub fn plan(observed: &Observed, policy: &Policy<'_>) -> GcPlan {
    let mut work = work::Work::new(observed, policy);
    work.keep_budgets();
    work.make_space();
    work.finish()
}

impl Image {
    fn staying(&self, reason: Stay) -> Staying {
        let name = self.references.first().unwrap_or(&self.id).clone();
        Staying { kind: Kind::Image, name, reason }
    }
}

impl Policy<'_> {
    fn is_young(&self, last_use: u64) -> bool {
        last_use.saturating_add(self.min_age) > self.now
    }

    /// Why an image stays for its own sake.
    fn image_stays(&self, image: &Image) -> Option<Stay> {
        let any = |holds: &dyn Fn(&String) -> bool| image.references.iter().any(holds);
        if image.used {
            Some(Stay::Used)
        } else if image.leased {
            Some(Stay::Leased)
        } else if any(&|name| self.named.contains(&login::canonical(name))) {
            Some(Stay::Named)
        } else if any(&|name| self.keeps(name)) || self.keep.matches(&image.id) {
            Some(Stay::Keep)
        } else {
            self.is_young(image.last_use).then_some(Stay::Young)
        }
    }

    /// By the name as the engine shows it, or by the whole one.
    fn keeps(&self, reference: &str) -> bool {
        let (name, version) = login::split(reference);
        self.keep.matches(reference) || self.keep.matches(&format!("{name}{version}"))
    }

    fn volume_stays(&self, volume: &Volume) -> Option<Stay> {
        if volume.used {
            Some(Stay::Used)
        } else if self.keep.matches(&volume.name) {
            Some(Stay::Keep)
        } else {
            self.is_young(volume.last_use).then_some(Stay::Young)
        }
    }
}

#[cfg(test)]
mod tests;
