//! What goes from this host once a pipeline is delivered. Pure: observe, plan, act; this is "plan".
//!
//! By tag, never by image id (but for images without any name), only of the project's own repository,
//! never `latest`, never what a container uses.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::job::JobContext;
use crate::settings::{Patterns, PruneSettings};

/// The label by which an image tells the commit it was built from (OCI image annotations).
const REVISION: &str = "org.opencontainers.image.revision";

/// What may go, for one delivery job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrunePolicy {
    /// `host/path` of the repository.
    pub repository: String,
    /// Patterns of tags that stay.
    pub keep: Vec<String>,
    /// Patterns of tags that go.
    pub drop: Vec<String>,
    /// The commit, for images that lost their name.
    pub commit: String,
}

impl PrunePolicy {
    /// The policy of a job; `None` where it is no delivery, or there is nothing to prune.
    pub(super) fn of(context: &JobContext, settings: &PruneSettings) -> Option<Self> {
        let job = &context.response;
        if !settings.enabled || !settings.after_stages.contains(&job.job_info.stage) {
            return None;
        }
        let commit = job.git_info.sha.clone();
        // The author could override CI_REGISTRY_IMAGE and have another project's tags removed.
        let trusted = context.trusted_variable("CI_REGISTRY_IMAGE");
        let repository = settings.repository.as_deref().or(trusted)?.to_owned();
        let value = |name: &str| match name {
            "CI_COMMIT_SHA" => Some(commit.clone()),
            "CI_COMMIT_SHORT_SHA" => commit.get(..8).map(str::to_owned),
            "CI_COMMIT_REF_NAME" => Some(job.git_info.reference.clone()),
            "CI_PIPELINE_ID" => Some(job.job_info.pipeline_id.to_string()),
            _ => None,
        };
        let expand = |patterns: &[String]| {
            let expanded =
                patterns.iter().map(|pattern| crate::job::expand::expand(pattern, value));
            expanded.filter(|pattern| !pattern.is_empty()).collect()
        };
        Some(Self {
            repository,
            keep: expand(&settings.keep),
            drop: expand(&settings.drop),
            commit,
        })
    }
}

/// One image on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalImage {
    /// `sha256:...`
    pub id: String,
    /// `repo:tag` references.
    pub tags: Vec<String>,
    /// `repo@sha256:...` references.
    pub digests: Vec<String>,
    /// The commit its label tells.
    pub revision: Option<String>,
}

impl LocalImage {
    /// Takes the commit from an image's labels.
    pub fn revision_of(labels: &super::container::Labels) -> Option<String> {
        labels.get(REVISION).cloned()
    }
}

/// What goes and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PrunePlan {
    /// References and, for images without any, ids to be removed, in this order.
    pub remove: Vec<String>,
    /// What would have gone, and why it stays.
    pub spared: Vec<(String, &'static str)>,
}

/// Plans a prune over what is on this host; `used` holds the ids of images that containers use.
pub fn plan(policy: &PrunePolicy, images: &[LocalImage], used: &BTreeSet<String>) -> PrunePlan {
    let mut plan = PrunePlan::default();
    for image in images {
        let candidates = candidates(policy, image);
        let in_use = used.contains(&image.id);
        for reference in candidates {
            if in_use {
                plan.spared.push((reference, "a container uses it"));
            } else {
                plan.remove.push(reference);
            }
        }
    }
    plan
}

fn candidates(policy: &PrunePolicy, image: &LocalImage) -> Vec<String> {
    if image.tags.is_empty() {
        return nameless(policy, image);
    }
    image.tags.iter().filter(|tag| goes(policy, tag)).cloned().collect()
}

/// An image that lost its last tag: the `latest` of the pipeline before, or a stage of this build.
fn nameless(policy: &PrunePolicy, image: &LocalImage) -> Vec<String> {
    let (ours, others): (Vec<_>, Vec<_>) =
        image.digests.iter().cloned().partition(|digest| is_of(policy, digest, '@'));
    if !ours.is_empty() {
        return ours;
    }
    let of_this_commit = image.revision.as_deref() == Some(policy.commit.as_str());
    if of_this_commit && others.is_empty() && !policy.commit.is_empty() {
        return vec![image.id.clone()];
    }
    Vec::new()
}

fn goes(policy: &PrunePolicy, reference: &str) -> bool {
    if !is_of(policy, reference, ':') {
        return false;
    }
    let tag = &reference[policy.repository.len() + 1..];
    tag != "latest" && matches(&policy.drop, tag) && !matches(&policy.keep, tag)
}

/// Whether a reference is of the policy's repository: exactly, not of one below it.
fn is_of(policy: &PrunePolicy, reference: &str, separator: char) -> bool {
    reference
        .strip_prefix(&policy.repository)
        .and_then(|rest| rest.strip_prefix(separator))
        .is_some_and(|rest| !rest.contains('/'))
}

/// A pattern that is no glob matches nothing: it would be a wish that cannot be known.
fn matches(patterns: &[String], tag: &str) -> bool {
    Patterns::new(patterns.to_vec()).is_ok_and(|patterns| patterns.matches(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn policy() -> PrunePolicy {
        PrunePolicy {
            repository: "reg.example:5000/team/app".to_owned(),
            keep: vec!["latest".to_owned()],
            drop: vec!["test".to_owned(), SHA.to_owned(), "*".to_owned()],
            commit: SHA.to_owned(),
        }
    }

    fn tagged(id: &str, tags: &[&str]) -> LocalImage {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        LocalImage { id: id.to_owned(), tags, ..LocalImage::default() }
    }

    fn planned(images: &[LocalImage], used: &[&str]) -> PrunePlan {
        plan(&policy(), images, &used.iter().map(|id| (*id).to_owned()).collect())
    }

    #[test]
    fn test_and_sha_go_and_latest_stays() {
        let sha = format!("reg.example:5000/team/app:{SHA}");
        let tags = ["reg.example:5000/team/app:test", &sha, "reg.example:5000/team/app:latest"];
        let plan = planned(&[tagged("a", &tags)], &[]);
        assert_eq!(plan.remove, ["reg.example:5000/team/app:test", &sha]);
    }

    #[test]
    fn other_repositories_stay_even_below_ours() {
        let tags = [
            "reg.example:5000/team/other:test",
            "reg.example:5000/team/app/sub:test",
            "reg.example:5000/team/app-two:test",
            "app:test",
        ];
        assert_eq!(planned(&[tagged("a", &tags)], &[]), PrunePlan::default());
    }

    #[test]
    fn what_a_container_uses_stays_and_is_told() {
        let plan = planned(&[tagged("a", &["reg.example:5000/team/app:test"])], &["a"]);
        assert!(plan.remove.is_empty());
        assert_eq!(
            plan.spared[0],
            ("reg.example:5000/team/app:test".to_owned(), "a container uses it")
        );
    }

    #[test]
    fn the_latest_of_the_pipeline_before_goes_by_its_digest() {
        let digest = "reg.example:5000/team/app@sha256:11".to_owned();
        let old =
            LocalImage { id: "a".into(), digests: vec![digest.clone()], ..LocalImage::default() };
        assert_eq!(planned(&[old], &[]).remove, [digest]);
    }

    #[test]
    fn a_nameless_stage_of_this_commit_goes_and_of_another_stays() {
        let stage = |id: &str, commit: &str| LocalImage {
            id: id.to_owned(),
            revision: Some(commit.to_owned()),
            ..LocalImage::default()
        };
        assert_eq!(planned(&[stage("mine", SHA), stage("theirs", "other")], &[]).remove, ["mine"]);
    }
}
