//! What a prune is told: what the engine has, who uses it and who else is at work. Pure; it decides nothing.

use std::collections::BTreeSet;

use super::super::container::Labels;

/// The label by which an image tells the commit it was built from (OCI image annotations).
const REVISION: &str = "org.opencontainers.image.revision";

/// A pipeline of which there is something on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pipeline {
    /// The project's path.
    pub project: String,
    /// GitLab's number of it.
    pub id: u64,
    /// Its commit.
    pub commit: String,
}

impl Pipeline {
    /// Of an object's labels, where it is a job's.
    pub fn of(labels: &Labels) -> Option<Self> {
        Some(Self {
            project: labels.get("longshore.project")?.clone(),
            id: labels.get("longshore.pipeline")?.parse().ok()?,
            commit: labels.get("longshore.commit").cloned().unwrap_or_default(),
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
    /// The pipeline whose job made it, where its labels or the ledger tell.
    pub pipeline: Option<Pipeline>,
    /// When it was made, Unix seconds: maybe long ago and elsewhere.
    pub created: i64,
    /// When it was last used, pulled or tagged here, Unix seconds, where somebody has found that out.
    pub touched: Option<u64>,
}

impl LocalImage {
    /// Takes the commit from an image's labels.
    pub fn revision_of(labels: &Labels) -> Option<String> {
        labels.get(REVISION).cloned()
    }
}

/// What there is.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// All images.
    pub images: Vec<LocalImage>,
    /// Ids of images that containers use.
    pub used: BTreeSet<String>,
    /// Pipelines that have a job on this host now.
    pub at_work: BTreeSet<Pipeline>,
    /// Pipelines that had a job on this host not long ago, and have not delivered since: there may be more to come.
    pub recent: BTreeSet<Pipeline>,
    /// Unix seconds.
    pub now: u64,
}
