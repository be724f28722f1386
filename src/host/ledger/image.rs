//! What the ledger tells of images that jobs made, pulled and pushed through their socket. It decides nothing.

use serde::Deserialize;
use serde_json::Value;

use super::history::Entry;

/// An `image` event as it stands in the ledger.
#[derive(Debug, Deserialize)]
pub struct ImageEntry {
    /// The key of the job that did it.
    pub job: String,
    /// The full path of its project.
    pub project: String,
    /// GitLab's number of its pipeline.
    pub pipeline: u64,
    /// What was done, as [`crate::broker::outgoing::Deed`] is written.
    pub deed: String,
    /// The names that it was done to.
    pub references: Vec<String>,
    /// The ids of the images.
    pub images: Vec<String>,
    /// `repository@digest`, where a registry told one.
    #[serde(default)]
    pub digest: Option<String>,
}

impl ImageEntry {
    /// `None` for another event, and for one of another version.
    pub fn read(entry: &Entry) -> Option<Self> {
        if entry.event != "image" {
            return None;
        }
        Self::deserialize(Value::Object(entry.fields.clone())).ok()
    }
}
