//! Why a reference goes or stays, for people and for scripts. Pure.

use std::fmt;

use serde::Serialize;

/// Why something goes or stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Goes: the tag holds a value of this pipeline.
    OwnTag,
    /// Goes: the settings drop the tag, and the image is this pipeline's.
    OwnImage,
    /// Goes: the settings drop the tag, and nobody else is at work.
    Dropped,
    /// Goes: a newer image took its tag.
    Nameless,
    /// Goes: made by this pipeline, and without a name.
    Stage,
    /// Stays: `latest`, or in `keep`.
    Kept,
    /// Stays: a container uses it.
    Used,
    /// Stays: it was made, pulled, tagged or used within `min_age`.
    Young,
    /// Stays: this pipeline has the same commit, or may have made it, and is at work.
    AtWork(u64),
    /// Stays: it was built from this commit.
    OtherCommit(String),
    /// Stays: a job of this other pipeline made it.
    OtherPipeline(u64),
    /// Stays: the registry has another image under it than this pipeline's.
    NotDelivered,
}

impl Why {
    /// Whether it says that something stays.
    pub(super) fn spares(&self) -> bool {
        !matches!(
            self,
            Self::OwnTag | Self::OwnImage | Self::Dropped | Self::Nameless | Self::Stage
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::OwnTag => "a tag of this pipeline",
            Self::OwnImage => "its image is this pipeline's",
            Self::Dropped => "the settings drop it",
            Self::Nameless => "a newer image took its tag",
            Self::Stage => "made by this pipeline, and without a name",
            Self::Kept => "the settings keep it",
            Self::Used => "a container uses it",
            Self::Young => "it was made, pulled, tagged or used within min_age",
            Self::NotDelivered => "it is another image than what this pipeline delivered",
            Self::AtWork(pipeline) => {
                return write!(formatter, "pipeline {pipeline} is at work and may need it");
            }
            Self::OtherPipeline(pipeline) => {
                return write!(formatter, "pipeline {pipeline} made it");
            }
            Self::OtherCommit(commit) => {
                return write!(formatter, "it was built from another commit, {commit}");
            }
        };
        formatter.write_str(words)
    }
}
