//! Chooses what goes: first what brings each kind down to its room, then what the disk still lacks. Pure.

use std::collections::BTreeSet;

use super::images::Family;
use super::{BuildCache, GcPlan, Going, Kind, Observed, Policy, Reason, Stay, Staying, Volume};

/// Where a candidate stands in what was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Record(usize),
    Volume(usize),
    Image(usize),
}

/// A plan in the making.
pub(super) struct Work<'a> {
    observed: &'a Observed,
    policy: &'a Policy<'a>,
    family: Family<'a>,
    /// The next to go comes first; an image stands behind those that are built on it.
    candidates: Vec<Place>,
    /// What goes, in its order, with what that frees.
    chosen: Vec<(Place, u64, Reason)>,
    is_chosen: BTreeSet<Place>,
    kept: Vec<Staying>,
    missing: u64,
}

impl<'a> Work<'a> {
    pub(super) fn new(observed: &'a Observed, policy: &'a Policy<'a>) -> Self {
        let (family, mut kept) = Family::new(&observed.images, policy);
        let images = family.candidates().map(|(at, last_use)| (Place::Image(at), last_use));
        let mut candidates: Vec<_> = images.collect();
        for (at, volume) in observed.volumes.iter().enumerate() {
            match policy.volume_stays(volume) {
                None => candidates.push((Place::Volume(at), volume.last_use)),
                Some(reason) => kept.push(staying(volume, reason)),
            }
        }
        for (at, record) in observed.records.iter().enumerate() {
            if !record.used && !policy.is_young(record.last_use) {
                candidates.push((Place::Record(at), record.last_use));
            }
        }
        // Stable: images of the same time keep the family's order, children first.
        candidates.sort_by_key(|(_, last_use)| *last_use);
        let candidates = candidates.into_iter().map(|(place, _)| place).collect();
        let (chosen, is_chosen, missing) = (Vec::new(), BTreeSet::new(), 0);
        Self { observed, policy, family, candidates, chosen, is_chosen, kept, missing }
    }

    /// Brings each kind down to its room.
    pub(super) fn keep_budgets(&mut self) {
        let volumes: u64 = self.observed.volumes.iter().map(|one| one.size).sum();
        let records: u64 = self.observed.records.iter().map(|one| one.size).sum();
        let room = self.policy.room;
        let over =
            |taken: u64, room: Option<u64>| room.map_or(0, |room| taken.saturating_sub(room));
        let images = over(self.observed.images_bytes, room.images);
        let short = [
            self.choose(images, Reason::OverBudget, |place| matches!(place, Place::Image(_))),
            self.choose(over(volumes, room.cache_volumes), Reason::OverBudget, |place| {
                matches!(place, Place::Volume(_))
            }),
            self.choose(over(records, room.build_cache), Reason::OverBudget, |place| {
                matches!(place, Place::Record(_))
            }),
        ];
        self.missing = short.into_iter().max().unwrap_or_default();
    }

    /// Frees what the file system lacks, of all kinds.
    pub(super) fn make_space(&mut self) {
        let freed: u64 = self.chosen.iter().map(|(_, bytes, _)| bytes).sum();
        let lacking = self.policy.need_bytes.saturating_sub(freed);
        let short = self.choose(lacking, Reason::LowSpace, |_| true);
        self.missing = self.missing.max(short);
    }

    /// Chooses candidates of these kinds until so many bytes are freed; answers those that are lacking.
    fn choose(&mut self, bytes: u64, reason: Reason, of_kind: impl Fn(Place) -> bool) -> u64 {
        let mut lacking = bytes;
        for at in 0..self.candidates.len() {
            if lacking == 0 {
                break;
            }
            let place = self.candidates[at];
            if !of_kind(place) || !self.is_chosen.insert(place) {
                continue;
            }
            let freed = match place {
                Place::Image(at) => self.family.remove(at),
                Place::Volume(at) => self.observed.volumes[at].size,
                Place::Record(at) => self.observed.records[at].size,
            };
            self.chosen.push((place, freed, reason));
            lacking = lacking.saturating_sub(freed);
        }
        lacking
    }

    pub(super) fn finish(mut self) -> GcPlan {
        let useless = |place: Place| matches!(place, Place::Image(at) if self.family.is_shared(at));
        let (useless, chosen): (Vec<_>, Vec<_>) =
            self.chosen.drain(..).partition(|(place, _, _)| useless(*place));
        for (place, _, _) in useless {
            self.stay(place, Stay::FreesNothing);
        }
        for at in 0..self.candidates.len() {
            let place = self.candidates[at];
            if !self.is_chosen.contains(&place) {
                self.stay(place, Stay::Enough);
            }
        }
        self.kept.sort_by(|left, right| (left.kind, &left.name).cmp(&(right.kind, &right.name)));
        let remove = chosen.iter().filter_map(|chosen| self.going(chosen)).collect();
        let bytes = chosen.iter().map(|(_, bytes, _)| bytes).sum();
        let build_cache = self.build_cache(&chosen);
        GcPlan { remove, build_cache, kept: self.kept, bytes, missing_bytes: self.missing }
    }

    fn stay(&mut self, place: Place, reason: Stay) {
        match place {
            Place::Image(at) => self.kept.push(self.observed.images[at].staying(reason)),
            Place::Volume(at) => self.kept.push(staying(&self.observed.volumes[at], reason)),
            Place::Record(_) => {}
        }
    }

    fn going(&self, (place, bytes, reason): &(Place, u64, Reason)) -> Option<Going> {
        let (bytes, reason) = (*bytes, *reason);
        match place {
            Place::Image(at) => {
                let image = &self.observed.images[*at];
                let (name, references) = (image.id.clone(), image.references.clone());
                let last_use = image.last_use;
                Some(Going { kind: Kind::Image, name, references, bytes, last_use, reason })
            }
            Place::Volume(at) => {
                let volume = &self.observed.volumes[*at];
                let (name, last_use) = (volume.name.clone(), volume.last_use);
                let (kind, references) = (Kind::CacheVolume, Vec::new());
                Some(Going { kind, name, references, bytes, last_use, reason })
            }
            Place::Record(_) => None,
        }
    }

    /// The engine itself chooses among the records, by last use as well.
    fn build_cache(&self, chosen: &[(Place, u64, Reason)]) -> Option<BuildCache> {
        let records = || chosen.iter().filter(|(place, ..)| matches!(place, Place::Record(_)));
        let (_, _, reason) = records().next()?;
        let bytes = records().map(|(_, bytes, _)| bytes).sum();
        let all: u64 = self.observed.records.iter().map(|one| one.size).sum();
        Some(BuildCache {
            keep_bytes: all.saturating_sub(bytes),
            unused_for_seconds: self.policy.min_age,
            bytes,
            reason: *reason,
        })
    }
}

fn staying(volume: &Volume, reason: Stay) -> Staying {
    Staying { kind: Kind::CacheVolume, name: volume.name.clone(), reason }
}
