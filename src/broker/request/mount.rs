//! Reads one of a container's `Mounts`; what shows paths of the host is refused here, by name (note 3.3). Pure.

use std::collections::BTreeMap;

use crate::broker::refusal::Refusal;

use super::container::{check_labels, labels};
use super::fields::Fields;

/// One of `Mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `Type`
    pub kind: String,
    /// `Source`
    pub source: Option<String>,
    /// `Target`
    pub target: String,
    /// `ReadOnly`
    pub read_only: bool,
    /// `VolumeOptions.NoCopy`
    pub no_copy: bool,
    /// `VolumeOptions.Subpath`
    pub subpath: Option<String>,
    /// `VolumeOptions.Labels`
    pub labels: BTreeMap<String, String>,
    /// `TmpfsOptions.SizeBytes`
    pub tmpfs_bytes: i64,
    /// `TmpfsOptions.Mode`
    pub tmpfs_mode: u32,
}

impl Mount {
    pub(super) fn read(mut fields: Fields) -> Result<Self, Refusal> {
        let mut volume = fields.object("VolumeOptions")?;
        volume.nothing(&[(
            "DriverConfig",
            "volumes",
            "a volume's options can show any path of the host; volumes have none here",
        )])?;
        let own = labels(&mut volume, "Labels")?;
        let (no_copy, subpath) = (volume.or_zero("NoCopy")?, volume.text("Subpath")?);
        volume.end()?;
        let mut tmpfs = fields.object("TmpfsOptions")?;
        tmpfs.nothing(&[("Options", "mounts", "use size and mode")])?;
        let (tmpfs_bytes, tmpfs_mode) = (tmpfs.or_zero("SizeBytes")?, tmpfs.or_zero("Mode")?);
        tmpfs.end()?;
        let mut bind = fields.object("BindOptions")?;
        bind.nothing(&[
            ("NonRecursive", "mounts", "paths of the host are not mounted"),
            ("ReadOnlyNonRecursive", "mounts", "paths of the host are not mounted"),
            ("ReadOnlyForceRecursive", "mounts", "paths of the host are not mounted"),
        ])?;
        // How a mount spreads, and whether its source is made: neither has a meaning for volumes.
        bind.take::<String>("Propagation")?;
        bind.take::<bool>("CreateMountpoint")?;
        bind.end()?;
        fields.nothing(&[
            ("ClusterOptions", "mounts", "there is no cluster"),
            ("ImageOptions", "mounts", "images are not mounted"),
        ])?;
        fields.take::<String>("Consistency")?;
        let mount = Self {
            kind: fields.text("Type")?.unwrap_or_default(),
            source: fields.text("Source")?,
            target: fields.text("Target")?.unwrap_or_default(),
            read_only: fields.or_zero("ReadOnly")?,
            no_copy,
            subpath,
            labels: check_labels("HostConfig.Mounts[].VolumeOptions.Labels", own)?,
            tmpfs_bytes,
            tmpfs_mode,
        };
        fields.end()?;
        Ok(mount)
    }
}
