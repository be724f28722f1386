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

/// Where a delivery's tags are, as far as it can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Repository {
    /// Nothing is pruned after this job.
    Unwanted,
    /// This one.
    Known(String),
    /// `CI_REGISTRY_IMAGE` does not end in the project's path. GitLab's own always does; without a
    /// registry of GitLab's the variable is the pipeline author's, who could have others' tags removed.
    Foreign(String),
    /// Neither the job nor the settings name one.
    Unknown,
}

impl Repository {
    pub(super) fn of(context: &JobContext, settings: &PruneSettings) -> Self {
        let job = &context.response.job_info;
        if !settings.enabled || !settings.after_stages.contains(&job.stage) {
            return Self::Unwanted;
        }
        Self::of_project(context, settings.repository.as_deref())
    }

    /// The repository of the job's project: the one that the operator wrote, else GitLab's own.
    pub(super) fn of_project(context: &JobContext, written: Option<&str>) -> Self {
        let job = &context.response.job_info;
        // Repositories are lower case where project paths need not be.
        let project = job.project_full_path.to_lowercase();
        if let Some(written) = written {
            let value = |name: &str| (name == "CI_PROJECT_PATH").then(|| project.clone());
            return Self::Known(crate::job::expand::expand(written, value));
        }
        match context.trusted_variable("CI_REGISTRY_IMAGE").filter(|text| !text.is_empty()) {
            Some(text) if text.ends_with(&format!("/{project}")) => Self::Known(text.to_owned()),
            Some(text) => Self::Foreign(text.to_owned()),
            None => Self::Unknown,
        }
    }

    /// Its name, where it can be believed.
    pub(super) fn known(self) -> Option<String> {
        match self {
            Self::Known(repository) => Some(repository),
            Self::Unwanted | Self::Foreign(_) | Self::Unknown => None,
        }
    }

    /// What the job's author should know.
    pub(super) fn problem(&self) -> Option<String> {
        let why = match self {
            Self::Unwanted | Self::Known(_) => return None,
            Self::Foreign(text) => {
                format!("CI_REGISTRY_IMAGE {text} does not end in the project's path")
            }
            Self::Unknown => "the job has no CI_REGISTRY_IMAGE".to_owned(),
        };
        Some(format!(
            "nothing will be pruned after this delivery: {why}; the operator can set [prune] repository"
        ))
    }
}

impl PrunePolicy {
    /// The policy of a job; `None` where it is no delivery, or there is nothing to prune.
    pub(super) fn of(
        context: &JobContext,
        settings: &PruneSettings,
        repository: Repository,
    ) -> Option<Self> {
        let Repository::Known(repository) = repository else { return None };
        let job = &context.response;
        let commit = job.git_info.sha.clone();
        let value = |name: &str| match name {
            "CI_COMMIT_SHA" => Some(commit.clone()),
            "CI_COMMIT_SHORT_SHA" => commit.get(..8).map(str::to_owned),
            "CI_COMMIT_REF_NAME" => Some(job.git_info.reference.clone()),
            "CI_PIPELINE_ID" => Some(job.job_info.pipeline_id.to_string()),
            _ => None,
        };
        // A branch may have a glob's characters in its name, which are not the operator's.
        let literal = |name: &str| value(name).map(|text| globset::escape(&text));
        let expand = |patterns: &[String]| {
            let expanded =
                patterns.iter().map(|pattern| crate::job::expand::expand(pattern, literal));
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
///
/// An image that a container uses is never removed: it may lose a tag only while it keeps another name.
pub fn plan(policy: &PrunePolicy, images: &[LocalImage], used: &BTreeSet<String>) -> PrunePlan {
    let mut plan = PrunePlan::default();
    for image in images {
        let candidates = candidates(policy, image);
        let keeps_a_tag = image.tags.iter().any(|tag| !candidates.contains(tag));
        for reference in candidates {
            if used.contains(&image.id) && !keeps_a_tag {
                plan.spared.push((reference, "a container uses it"));
            } else {
                plan.remove.push(reference);
            }
        }
    }
    plan
}

/// Tags that go; where the image has no tag of this repository, what else it has of it.
fn candidates(policy: &PrunePolicy, image: &LocalImage) -> Vec<String> {
    if image.tags.iter().any(|tag| is_of(policy, tag, ':')) {
        return image.tags.iter().filter(|tag| goes(policy, tag)).cloned().collect();
    }
    nameless(policy, image)
}

/// An image that lost its last tag: the `latest` of the pipeline before, or a stage of this build.
fn nameless(policy: &PrunePolicy, image: &LocalImage) -> Vec<String> {
    let (ours, others): (Vec<_>, Vec<_>) =
        image.digests.iter().cloned().partition(|digest| is_of(policy, digest, '@'));
    if !ours.is_empty() {
        return ours;
    }
    let of_this_commit = image.revision.as_deref() == Some(policy.commit.as_str());
    let has_no_name = image.tags.is_empty() && others.is_empty();
    if of_this_commit && has_no_name && !policy.commit.is_empty() {
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
    fn a_used_image_loses_a_tag_only_while_it_keeps_another() {
        let tags = ["reg.example:5000/team/app:test", "reg.example:5000/team/app:latest"];
        assert_eq!(planned(&[tagged("a", &tags)], &["a"]).remove, tags[..1]);
    }

    #[test]
    fn a_digest_goes_though_another_repository_has_a_tag() {
        let digest = "reg.example:5000/team/app@sha256:11".to_owned();
        let mut image = tagged("a", &["python:3.13"]);
        image.digests = vec![digest.clone(), "python@sha256:22".to_owned()];
        assert_eq!(planned(&[image], &[]).remove, [digest]);
    }

    #[test]
    fn a_stage_of_this_commit_with_a_name_elsewhere_stays() {
        let mut image = tagged("a", &["other:1"]);
        image.revision = Some(SHA.to_owned());
        assert_eq!(planned(&[image], &[]), PrunePlan::default());
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

    #[test]
    fn an_image_tells_its_commit_by_the_oci_label() {
        let labels = [(REVISION.to_owned(), SHA.to_owned())].into();
        assert_eq!(LocalImage::revision_of(&labels).as_deref(), Some(SHA));
        assert_eq!(LocalImage::revision_of(&[].into()), None);
    }
}
