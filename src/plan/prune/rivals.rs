//! Other pipelines of the project that are under way, and what may be theirs as well as this one's: who builds
//! the same thing again has the same image under its own names. Pure.

use super::seen::{LocalImage, Pipeline, Seen};
use super::{PrunePolicy, RemoteTag};

/// What GitLab calls `CI_COMMIT_SHORT_SHA` has so many digits.
const SHORT: usize = 8;

/// The other pipelines, as far as this host knows of them.
#[derive(Debug, Clone, Default)]
pub struct Rivals<'a> {
    pipelines: Vec<&'a Pipeline>,
    images: &'a [LocalImage],
}

impl<'a> Rivals<'a> {
    /// Of what there is: those that have a job here now, and those that had one not long ago.
    pub fn of(policy: &PrunePolicy, seen: &'a Seen) -> Self {
        let others = |one: &&Pipeline| one.project == policy.project && one.id != policy.pipeline;
        // One of the same commit that has no job now shares all its tags with this one, and may never deliver.
        let recent = seen.recent.iter().filter(|one| one.commit != policy.commit);
        let pipelines = seen.at_work.iter().chain(recent).filter(others).collect();
        Self { pipelines, images: &seen.images }
    }

    /// Who of them has this image too: by a tag with its commit, by its label, or by the ledger.
    pub(super) fn of_image(&self, image: &LocalImage) -> Option<u64> {
        let has = |one: &&&Pipeline| {
            made(one, image)
                || (!one.commit.is_empty() && image.revision.as_ref() == Some(&one.commit))
                || image.tags.iter().any(|tag| names(one, tag))
        };
        self.pipelines.iter().find(has).map(|one| one.id)
    }

    /// Whether a tag bears the commit of one of them.
    pub(super) fn name(&self, tag: &str) -> bool {
        self.pipelines.iter().any(|one| names(one, tag))
    }

    /// Who of them has this manifest too, among these tags or on this host.
    pub(super) fn of_manifest(&self, digest: &str, tags: &[RemoteTag]) -> Option<u64> {
        let under =
            |one: &Pipeline| tags.iter().any(|tag| tag.digest == digest && names(one, &tag.tag));
        let is_it = |image: &&LocalImage| {
            image.digests.iter().any(|known| known.ends_with(&format!("@{digest}")))
        };
        let here = |one: &Pipeline| self.images.iter().filter(is_it).any(|image| made(one, image));
        self.pipelines.iter().find(|one| under(one) || here(one)).map(|one| one.id)
    }
}

fn made(pipeline: &Pipeline, image: &LocalImage) -> bool {
    let by = image.pipeline.as_ref();
    by.is_some_and(|by| by.project == pipeline.project && by.id == pipeline.id)
}

/// Whether one of a tag's words is the pipeline's commit, whole or short.
fn names(pipeline: &Pipeline, tag: &str) -> bool {
    let commit = pipeline.commit.as_str();
    let mut words = tag.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.any(|word| !word.is_empty() && (word == commit || Some(word) == commit.get(..SHORT)))
}
