//! From the plan to the shape of its two containers, once the image has told its user. Pure.

use std::collections::BTreeMap;

use crate::settings::SocketMode;

use super::container::{
    ContainerNetwork, ContainerPlan, Labels, MountPlan, MountSource, ResolverPlan,
};
use super::secret::SECRET_FILES_BYTES;
use super::{AGENT_MOUNT, AGENT_PATH, JobPlan, Role, SECRET_FILES};

/// Where a job's `docker login` writes: in memory, for this job alone.
const DOCKER_CONFIG: &str = "/run/longshore/docker";

/// Room for it; Docker's own file is a few kilobytes.
const DOCKER_CONFIG_BYTES: u64 = 4 << 20;

impl JobPlan {
    /// The job container, for an image whose `USER` is this.
    pub fn job_container(&self, image_user: &str) -> ContainerPlan {
        let capabilities = self.rights.capabilities(is_root(&self.user(image_user)));
        let mut mounts = self.mounts(image_user);
        mounts.push(MountPlan {
            target: DOCKER_CONFIG.to_owned(),
            source: MountSource::Tmpfs { bytes: DOCKER_CONFIG_BYTES },
            read_only: false,
        });
        if self.socket == SocketMode::Raw {
            mounts.push(MountPlan {
                target: "/var/run/docker.sock".to_owned(),
                source: MountSource::HostPath(self.socket_path.clone()),
                read_only: false,
            });
        }
        mounts.extend(self.secret_files());
        ContainerPlan {
            platform: self.image.platform.clone(),
            hostname: Some(self.hostname()),
            network: self.network.container(),
            mounts,
            capabilities,
            resolver: self.network.resolver.clone(),
            ..self.container(Role::Job, &self.image.reference)
        }
    }

    /// The helper container of a job image whose `USER` is this; it joins the job's network.
    pub fn helper_container(&self, image_user: &str) -> Option<ContainerPlan> {
        let image = self.helper_image.as_ref()?;
        Some(ContainerPlan {
            network: ContainerNetwork::Join(self.container_name(Role::Job)),
            mounts: self.mounts(image_user),
            capabilities: self.helper_rights.capabilities(false),
            ..self.container(Role::Helper, &image.reference)
        })
    }

    /// Whom user stages run as: the job's choice, else the image's.
    pub fn user(&self, image_user: &str) -> String {
        self.user.clone().unwrap_or_else(|| image_user.to_owned())
    }

    /// What stands before the shell of user stages. An empty string in the job's list sets the image's
    /// own aside, as with GitLab's executor.
    pub fn entrypoint(&self, image_entrypoint: &[String]) -> Vec<String> {
        let chosen = self.entrypoint.as_deref().unwrap_or(image_entrypoint);
        chosen.iter().filter(|word| !word.is_empty()).cloned().collect()
    }

    /// Directories that belong to the job's user, parents first.
    ///
    /// The builds directory and all between it and the project too: with `GIT_STRATEGY: clone` the
    /// runner's script removes the project directory and makes it anew (so it must not be a mount point
    /// either, seen on 19.3.0: "Device or resource busy").
    pub fn directories(&self) -> Vec<String> {
        let below = self.project_dir.strip_prefix(&self.builds_dir).unwrap_or_default();
        let slashes = below.match_indices('/').skip(1).map(|(at, _)| at + self.builds_dir.len());
        let parents = slashes.map(|end| self.project_dir[..end].to_owned());
        let own = [
            self.project_dir.clone(),
            self.file_variables_dir(),
            self.cache_dir.clone(),
            DOCKER_CONFIG.to_owned(),
        ];
        let all = std::iter::once(self.builds_dir.clone()).chain(parents).chain(own);
        all.chain(self.kept_volumes()).collect()
    }

    /// Where the runner's scripts write file variables.
    pub fn file_variables_dir(&self) -> String {
        format!("{}.tmp", self.project_dir)
    }

    /// Plain environment of user stages; what the job sets itself comes later, with its script. A secret
    /// that comes as a file is told by its path.
    pub fn user_env(&self, network: &str) -> Vec<(String, String)> {
        let own = [
            ("DOCKER_CONFIG".to_owned(), DOCKER_CONFIG.to_owned()),
            ("CI_DISPOSABLE_ENVIRONMENT".to_owned(), "true".to_owned()),
            ("LONGSHORE_NETWORK".to_owned(), network.to_owned()),
        ];
        // Docker's clients would take BuildKit, which speaks over `/session`, whatever the ping says.
        let brokered = self.socket == SocketMode::Brokered;
        let builder = brokered.then(|| ("DOCKER_BUILDKIT".to_owned(), "0".to_owned()));
        let files = self.secrets.iter().filter_map(|one| Some((one.name.clone(), one.file()?)));
        own.into_iter().chain(builder).chain(files).collect()
    }

    /// The tmpfs of secret files, where there are some. No volume: the helper has no business there.
    fn secret_files(&self) -> Option<MountPlan> {
        let wanted = self.secrets.iter().any(|one| one.file().is_some());
        wanted.then(|| MountPlan {
            target: SECRET_FILES.to_owned(),
            source: MountSource::Tmpfs { bytes: SECRET_FILES_BYTES },
            read_only: false,
        })
    }

    fn hostname(&self) -> String {
        self.network.hostname.clone().unwrap_or_else(|| format!("longshore-{}", self.key))
    }

    fn container(&self, role: Role, image: &str) -> ContainerPlan {
        let (kind, limits, rights) = match role {
            Role::Job => ("job", &self.limits, &self.rights),
            Role::Helper => ("helper", &self.helper_limits, &self.helper_rights),
        };
        ContainerPlan {
            name: self.container_name(role),
            image: image.to_owned(),
            platform: None,
            entrypoint: vec![AGENT_PATH.to_owned(), "agent".to_owned()],
            user: "0:0".to_owned(),
            env: BTreeMap::new(),
            hostname: None,
            network: ContainerNetwork::Slot { aliases: Vec::new() },
            mounts: Vec::new(),
            limits: limits.clone(),
            isolation: rights.isolation.clone(),
            resolver: ResolverPlan::default(),
            capabilities: Vec::new(),
            security: rights.security.clone(),
            labels: self.labelled(kind),
            own_process: None,
        }
    }

    fn mounts(&self, image_user: &str) -> Vec<MountPlan> {
        let mount = |target: String, source, read_only| MountPlan { target, source, read_only };
        let own = [
            mount(AGENT_MOUNT.to_owned(), self.agent_source(), true),
            mount(self.builds_dir.clone(), self.volume("builds", None), false),
            mount(
                self.file_variables_dir(),
                self.volume("tmp", Some(self.file_variables_bytes)),
                false,
            ),
        ];
        let user = self.user(image_user);
        let cache =
            self.cache.as_ref().map(|cache| cache.mount(&self.cache_dir, &user, &self.project));
        own.into_iter().chain(cache).chain(self.volume_mounts(&user)).collect()
    }

    fn agent_source(&self) -> MountSource {
        let labels = Labels::from([("longshore.kind".to_owned(), "agent".to_owned())]);
        MountSource::Volume { name: self.agent_volume.clone(), labels, tmpfs_bytes: None }
    }

    fn volume(&self, what: &str, tmpfs_bytes: Option<u64>) -> MountSource {
        MountSource::Volume { name: self.key.name(what), labels: self.labelled(what), tmpfs_bytes }
    }

    /// The labels of an object of this kind.
    pub fn labelled(&self, kind: &str) -> Labels {
        let mut labels = self.labels.clone();
        labels.insert("longshore.kind".to_owned(), kind.to_owned());
        labels
    }
}

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), None | Some("" | "0" | "root"))
}
