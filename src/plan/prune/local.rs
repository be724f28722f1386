//! What goes from this host. Pure: it is told what the engine has, who uses it and who else is at work.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::rivals::Rivals;
use super::seen::{LocalImage, Pipeline, Seen};
use super::{PrunePolicy, Rules, Why};

/// One reference that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doomed {
    /// A reference, or the id of an image without any.
    pub reference: String,
    /// The image's id: the reference goes only while it is this one.
    pub image: String,
    /// Why.
    pub why: Why,
}

/// One reference that stays, though its name or its image would let it go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spared {
    /// The reference.
    pub reference: String,
    /// Why.
    pub why: Why,
}

/// What goes and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PrunePlan {
    /// What is to be removed, in this order.
    pub remove: Vec<Doomed>,
    /// What would have gone, and why it stays.
    pub spared: Vec<Spared>,
    /// The id of the repository's `latest`, which must be the same afterwards.
    pub latest: Option<String>,
}

/// Plans a prune over what is on this host.
///
/// An image that a container uses is never removed: it may lose a tag only while it keeps another name.
pub fn plan(policy: &PrunePolicy, seen: &Seen) -> PrunePlan {
    let latest = policy.latest();
    let delivered = seen.images.iter().find(|image| image.tags.contains(&latest));
    let look = Look { policy, rules: policy.rules(), seen, delivered };
    let mut plan =
        PrunePlan { latest: delivered.map(|image| image.id.clone()), ..PrunePlan::default() };
    for image in &seen.images {
        let judged = look.judged(image);
        let goes = |tag: &String| judged.get(tag).is_some_and(|why| !why.spares());
        let keeps_a_tag = image.tags.iter().any(|tag| !goes(tag));
        for (reference, why) in judged {
            let used = seen.used.contains(&image.id) && !keeps_a_tag;
            let why = if used && !why.spares() { Why::Used } else { why };
            if why.spares() {
                plan.spared.push(Spared { reference, why });
            } else {
                plan.remove.push(Doomed { reference, image: image.id.clone(), why });
            }
        }
    }
    plan
}

/// Ids of the images that would lose something, were they old enough: whose age has to be known.
pub fn candidates(policy: &PrunePolicy, seen: &Seen) -> BTreeSet<String> {
    let policy = PrunePolicy { min_age_seconds: 0, ..policy.clone() };
    plan(&policy, seen).remove.into_iter().map(|one| one.image).collect()
}

/// A policy before what there is.
struct Look<'a> {
    policy: &'a PrunePolicy,
    rules: Rules,
    seen: &'a Seen,
    /// What `latest` is.
    delivered: Option<&'a LocalImage>,
}

impl Look<'_> {
    /// The references of an image that the policy is about, and what becomes of each.
    fn judged(&self, image: &LocalImage) -> BTreeMap<String, Why> {
        let tags: Vec<(&String, &str)> =
            image.tags.iter().filter_map(|one| Some((one, self.name(one, ':')?))).collect();
        let judged = if tags.is_empty() {
            self.nameless(image)
        } else {
            let judge = |(reference, tag): (&String, &str)| {
                Some((reference.clone(), self.tag(image, tag)?))
            };
            tags.into_iter().filter_map(judge).collect()
        };
        let young = |why: Why| if !why.spares() && self.is_young(image) { Why::Young } else { why };
        judged.into_iter().map(|(reference, why)| (reference, young(why))).collect()
    }

    /// What becomes of a tag; nothing where the settings do not speak of it.
    fn tag(&self, image: &LocalImage, tag: &str) -> Option<Why> {
        let policy = self.policy;
        if !self.rules.drops(tag) {
            return self.rules.names(tag).then_some(Why::Kept);
        }
        // A pipeline of the same commit, run again, has the same tags.
        if let Some(rival) = self.rivals().find(|one| one.commit == policy.commit) {
            return Some(Why::AtWork(rival.id));
        }
        if self.rules.is_own(tag) {
            return Some(Why::OwnTag);
        }
        Some(self.shared(image))
    }

    /// A tag that other pipelines of the project use as well, such as `test`: by now its image may be theirs.
    fn shared(&self, image: &LocalImage) -> Why {
        if let Some(rival) = Rivals::of(self.policy, self.seen).of_image(image) {
            return Why::AtWork(rival);
        }
        let is_own = |reference: &String| {
            self.name(reference, ':').is_some_and(|tag| self.rules.is_own(tag))
        };
        let delivered = self.delivered.is_some_and(|latest| latest.id == image.id);
        if delivered || image.tags.iter().any(is_own) || self.is_of_this_pipeline(image) {
            return Why::OwnImage;
        }
        let made = image.pipeline.as_ref().filter(|by| by.project == self.policy.project);
        if let Some(other) = made.filter(|by| !self.is_this(by)) {
            return Why::OtherPipeline(other.id);
        }
        if let Some(revision) = self.foreign_revision(image) {
            return Why::OtherCommit(revision.to_owned());
        }
        self.rivals().next().map_or(Why::Dropped, |rival| Why::AtWork(rival.id))
    }

    /// An image that lost its last tag: the `latest` of the pipeline before, or a stage of this build.
    fn nameless(&self, image: &LocalImage) -> BTreeMap<String, Why> {
        let (ours, others): (Vec<_>, Vec<_>) =
            image.digests.iter().cloned().partition(|one| self.name(one, '@').is_some());
        if !ours.is_empty() {
            let why = self.displaced(image);
            return ours.into_iter().map(|digest| (digest, why.clone())).collect();
        }
        let has_no_name = image.tags.is_empty() && others.is_empty();
        if !has_no_name || !self.is_of_this_pipeline(image) {
            return BTreeMap::new();
        }
        // A fork has the same commits, and may be building right now.
        let same = |one: &&Pipeline| one.commit == self.policy.commit && !self.is_this(one);
        let rival = self.seen.at_work.iter().find(same);
        [(image.id.clone(), rival.map_or(Why::Stage, |rival| Why::AtWork(rival.id)))].into()
    }

    fn is_this(&self, pipeline: &Pipeline) -> bool {
        pipeline.project == self.policy.project && pipeline.id == self.policy.pipeline
    }

    /// An image of the repository that is only known by its digest.
    fn displaced(&self, image: &LocalImage) -> Why {
        let of_rival = |rival: &&Pipeline| {
            let newer = self.delivered.is_none_or(|latest| latest.created < image.created);
            newer || image.revision.as_ref() == Some(&rival.commit)
        };
        self.rivals().find(of_rival).map_or(Why::Nameless, |rival| Why::AtWork(rival.id))
    }

    fn rivals(&self) -> impl Iterator<Item = &Pipeline> {
        let policy = self.policy;
        let at_work = self.seen.at_work.iter();
        at_work.filter(|one| one.project == policy.project && one.id != policy.pipeline)
    }

    fn is_of_this_pipeline(&self, image: &LocalImage) -> bool {
        let policy = self.policy;
        let revision = image.revision.as_deref().filter(|commit| !commit.is_empty());
        let made = image.pipeline.as_ref();
        revision == Some(policy.commit.as_str())
            || made.is_some_and(|by| by.project == policy.project && by.id == policy.pipeline)
    }

    fn foreign_revision<'a>(&self, image: &'a LocalImage) -> Option<&'a str> {
        let revision = image.revision.as_deref().filter(|commit| !commit.is_empty());
        revision.filter(|commit| *commit != self.policy.commit)
    }

    fn is_young(&self, image: &LocalImage) -> bool {
        let (age, now) = (self.policy.min_age_seconds, self.seen.now);
        let created = u64::try_from(image.created).unwrap_or_default();
        let newest = match image.touched {
            // Made in the future and used in the past: it was made by another clock.
            Some(touched) if created > now => touched,
            touched => created.max(touched.unwrap_or_default()),
        };
        // Where a clock was set back all may lie in the future, which is no age at all.
        age > 0 && newest.saturating_add(age) > now
    }

    /// The tag or digest of a reference of the policy's repository: exactly, not of one below it.
    fn name<'a>(&self, reference: &'a str, separator: char) -> Option<&'a str> {
        let rest = reference.strip_prefix(&self.policy.repository)?.strip_prefix(separator)?;
        (!rest.contains('/')).then_some(rest)
    }
}
