//! What takes up room on the engine's disk, as the port tells it.

use std::time::Duration;

use crate::plan::container::Labels;

/// All that takes up room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes of all layers of images, each counted once.
    pub layers_bytes: u64,
    /// Images that are not intermediate, dangling ones included.
    pub images: Vec<ImageUsage>,
    /// Volumes.
    pub volumes: Vec<VolumeUsage>,
    /// What the builder keeps of builds.
    pub build_cache: Vec<CacheRecord>,
}

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUsage {
    /// `sha256:...`
    pub id: String,
    /// The image that it was built on, step by step; empty for those that were pulled, or built by the newer builder.
    pub parent: String,
    /// `repo:tag` references.
    pub tags: Vec<String>,
    /// `repo@sha256:...` references.
    pub digests: Vec<String>,
    /// Creation time that it tells of itself, Unix seconds.
    pub created: i64,
    /// Bytes of all its layers.
    pub size: u64,
    /// Of them, in layers that another image has too.
    pub shared: u64,
}

/// One volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeUsage {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Creation time, Unix seconds, where the daemon tells.
    pub created: Option<u64>,
    /// Bytes of its files; `None` where the daemon cannot tell (other drivers than its own).
    pub size: Option<u64>,
    /// Containers that mount it.
    pub users: u64,
}

/// One record of the build cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheRecord {
    /// Its id.
    pub id: String,
    /// Bytes.
    pub size: u64,
    /// A build is at it.
    pub in_use: bool,
    /// An image has these bytes too: removing the record frees nothing.
    pub shared: bool,
    /// Last use, else creation, Unix seconds, where the daemon tells.
    pub last_used: Option<u64>,
}

/// What of the build cache goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePrune {
    /// Bytes that stay, of what was used last.
    pub keep_bytes: u64,
    /// Only what was not used for so long.
    pub unused_for: Duration,
}
