//! The operator's extra volumes as mounts of a job's containers.

use serde::Serialize;

use super::JobPlan;
use super::cache::CacheKey;
use super::container::{Labels, MountPlan, MountSource};
use crate::settings::{Volume, VolumeSource};

/// A volume that all containers of a job have.
#[derive(Debug, Clone, Serialize)]
pub struct VolumePlan {
    /// What is mounted.
    pub source: VolumeSource,
    /// Absolute path in the containers.
    pub target: String,
    /// Whether they may not write to it.
    pub read_only: bool,
    /// Who shares it, where it is kept by project.
    kept: CacheKey,
}

impl VolumePlan {
    pub(super) fn of(volume: &Volume, kept: &CacheKey) -> Self {
        let Volume { source, target, read_only } = volume.clone();
        Self { source, target, read_only, kept: kept.clone() }
    }

    /// A line where jobs can change this host by it.
    pub(super) fn unsafe_in_force(&self) -> Option<String> {
        match &self.source {
            VolumeSource::Host(path) if !self.read_only => Some(format!(
                "this job can change {path} of this host, at {} (docker.volumes); `:ro` forbids it",
                self.target
            )),
            _ => None,
        }
    }

    fn mount(&self, user: &str, project: &str) -> MountPlan {
        let source = match &self.source {
            VolumeSource::Kept => return self.kept.mount_of(&self.target, user, project),
            VolumeSource::Host(path) => MountSource::HostPath(path.clone()),
            VolumeSource::Named(name) => {
                MountSource::Volume { name: name.clone(), labels: Labels::new(), tmpfs_bytes: None }
            }
        };
        MountPlan { target: self.target.clone(), source, read_only: self.read_only }
    }
}

impl JobPlan {
    /// The operator's volumes, for jobs that work as this user.
    pub(super) fn volume_mounts(&self, user: &str) -> impl Iterator<Item = MountPlan> {
        self.volumes.iter().map(move |volume| volume.mount(user, &self.project))
    }

    /// Those that belong to the job's user.
    pub(super) fn kept_volumes(&self) -> impl Iterator<Item = String> {
        let kept = self.volumes.iter().filter(|volume| volume.source == VolumeSource::Kept);
        kept.map(|volume| volume.target.clone())
    }
}
