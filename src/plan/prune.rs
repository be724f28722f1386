//! What goes from this host once a pipeline is delivered. Pure: observe, plan, act; this is "plan".
//!
//! By tag, never by image id (but for images without any name), only of the project's own repository,
//! never `latest`, never what a container uses.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use crate::job::JobContext;
use crate::settings::{Patterns, PruneSettings};

mod local;
mod remote;
mod rivals;
mod seen;
mod why;

pub use local::{Doomed, PrunePlan, Spared, candidates, plan};
pub use remote::{RemotePlan, RemoteTag, asked as asked_remote, plan as plan_remote};
pub use rivals::Rivals;
pub use seen::{LocalImage, Pipeline, Seen};
pub use why::Why;

/// What may go, for one delivery job. It stands in the ledger, so that it can be acted on later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunePolicy {
    /// The project's path.
    pub project: String,
    /// GitLab's number of the pipeline.
    pub pipeline: u64,
    /// `host/path` of the repository.
    pub repository: String,
    /// Patterns of tags that stay.
    pub keep: Vec<String>,
    /// Patterns of tags that go.
    pub drop: Vec<String>,
    /// Those of them that hold a value of this pipeline, which no other pipeline's tags have.
    pub own: Vec<String>,
    /// The commit, for images that lost their name.
    pub commit: String,
    /// Seconds that an image is left alone after it was made, pulled, tagged or used.
    pub min_age_seconds: u64,
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
        if !settings.is_after(&job.stage) {
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
        let facts = Facts {
            project: job.job_info.project_full_path.clone(),
            repository,
            pipeline: Some(job.job_info.pipeline_id),
            commit: Some(job.git_info.sha.clone()).filter(|commit| !commit.is_empty()),
            reference: Some(job.git_info.reference.clone()).filter(|name| !name.is_empty()),
        };
        Some(Self::by_hand(&facts, settings))
    }

    /// The policy for a delivery that is known by these facts alone.
    pub fn by_hand(facts: &Facts, settings: &PruneSettings) -> Self {
        let expand = |patterns: &[String]| -> Vec<String> {
            patterns.iter().filter_map(|one| facts.expand(one)).map(|(text, _)| text).collect()
        };
        let own = settings.drop.iter().filter_map(|one| facts.expand(one));
        Self {
            project: facts.project.clone(),
            pipeline: facts.pipeline.unwrap_or_default(),
            repository: facts.repository.clone(),
            keep: expand(&settings.keep),
            drop: expand(&settings.drop),
            own: own.filter(|(_, own)| *own).map(|(text, _)| text).collect(),
            commit: facts.commit.clone().unwrap_or_default(),
            min_age_seconds: settings.min_age.0.as_secs(),
        }
    }

    /// The patterns, ready to be asked.
    fn rules(&self) -> Rules {
        Rules { keep: compiled(&self.keep), drop: compiled(&self.drop), own: compiled(&self.own) }
    }

    /// `host/path:latest`.
    pub fn latest(&self) -> String {
        self.reference(LATEST)
    }

    /// `host/path:tag`.
    pub fn reference(&self, tag: &str) -> String {
        format!("{}:{tag}", self.repository)
    }
}

/// What never goes.
const LATEST: &str = "latest";

/// What tells one delivery from others.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The project's path.
    pub project: String,
    /// `host/path` of the repository.
    pub repository: String,
    /// GitLab's number of the pipeline.
    pub pipeline: Option<u64>,
    /// The commit that was delivered.
    pub commit: Option<String>,
    /// Its branch or tag.
    pub reference: Option<String>,
}

impl Facts {
    /// A pattern with its values, and whether one of them is this pipeline's alone. `None` where a value
    /// is not known: without it the pattern would be another one, and could take what it should not.
    fn expand(&self, pattern: &str) -> Option<(String, bool)> {
        let (missing, own) = (Cell::new(false), Cell::new(false));
        let value = |name: &str| {
            let value = match name {
                "CI_COMMIT_SHA" => self.commit.clone(),
                "CI_COMMIT_SHORT_SHA" => {
                    self.commit.as_ref().and_then(|commit| commit.get(..8)).map(str::to_owned)
                }
                "CI_COMMIT_REF_NAME" => self.reference.clone(),
                "CI_PIPELINE_ID" => self.pipeline.map(|id| id.to_string()),
                _ => None,
            };
            missing.set(missing.get() || value.is_none());
            own.set(own.get() || name != "CI_COMMIT_REF_NAME");
            // A branch may have a glob's characters in its name, which are not the operator's.
            value.map(|text| globset::escape(&text))
        };
        let text = crate::job::expand::expand(pattern, value);
        (!missing.get() && !text.is_empty()).then_some((text, own.get()))
    }
}

/// What a policy says of tags.
struct Rules {
    keep: Option<Patterns>,
    drop: Option<Patterns>,
    own: Option<Patterns>,
}

impl Rules {
    /// Whether the settings let a tag go; `latest` never.
    fn drops(&self, tag: &str) -> bool {
        tag != LATEST && self.names(tag) && !self.keeps(tag)
    }

    /// Whether the settings would let a tag go, were it not kept.
    fn names(&self, tag: &str) -> bool {
        matches(self.drop.as_ref(), tag)
    }

    fn keeps(&self, tag: &str) -> bool {
        tag == LATEST || matches(self.keep.as_ref(), tag)
    }

    /// Whether a tag goes that only this pipeline can have made.
    fn is_own(&self, tag: &str) -> bool {
        tag != LATEST && matches(self.own.as_ref(), tag)
    }
}

fn matches(patterns: Option<&Patterns>, tag: &str) -> bool {
    patterns.is_some_and(|patterns| patterns.matches(tag))
}

/// A pattern that is no glob matches nothing, and takes no other along.
fn compiled(patterns: &[String]) -> Option<Patterns> {
    let good = patterns.iter().filter(|one| Patterns::new(vec![(*one).clone()]).is_ok());
    Patterns::new(good.cloned().collect()).ok()
}

#[cfg(test)]
mod tests;
