//! What we are going to do for a job, worked out before anything is touched. Pure: no daemon, no file,
//! no environment, no clock, no randomness.

use serde::Serialize;

use crate::job::Stage;
use crate::settings::{Capacity, Shell, SocketMode};

pub mod admission;
mod alias;
pub mod auth_config;
pub mod broker;
pub mod cache;
mod compile;
pub mod container;
pub mod gc;
mod image;
mod isolation;
pub mod key;
pub mod login;
mod network;
mod notice;
pub mod orphan;
pub mod owner;
pub mod prune;
mod refusal;
pub mod removal;
mod secret;
mod service;
mod shape;
pub mod slot;
pub mod sweep;
mod volume;

pub use broker::{BrokerPlan, Patterns, Quota};
pub use cache::CacheKey;
pub use compile::compile;
pub use image::{ImagePlan, ImageSource};
pub use isolation::Rights;
pub use key::JobKey;
pub use network::NetworkPlan;
pub use refusal::Refusal;
pub use secret::{FileMode, KvVersion, SECRET_FILES, SecretForm, SecretRef};
pub use service::{Check, ServiceEnv, ServicePlan};
pub use volume::VolumePlan;

use container::{Labels, LimitPlan};
use login::VaultLogin;
use owner::{Moment, Owner};
use prune::PrunePolicy;

/// Where the agent volume is mounted in every container of ours.
pub const AGENT_MOUNT: &str = "/.longshore";

/// The directory of its programs, put before `PATH` in every stage.
pub const AGENT_BIN: &str = "/.longshore/bin";

/// Where scripts tell the agent what else is to be masked: in a directory that is the container's alone,
/// in memory, and in no image or volume.
pub const MASK_SOCKET: &str = "/dev/longshore-mask.sock";

/// The agent's binary on it.
pub const AGENT_PATH: &str = "/.longshore/bin/longshore";

/// What the host tells about itself, for [`compile`].
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// Who asked for the job.
    pub owner: Owner,
    /// Name of the agent volume.
    pub agent_volume: String,
    /// The time.
    pub now: Moment,
    /// What the host has, for shares of it.
    pub capacity: Capacity,
}

/// Everything we are going to do for one job: flat, printable, secrets by reference only.
#[derive(Debug, Clone, Serialize)]
pub struct JobPlan {
    /// Names everything of the job.
    pub key: JobKey,
    /// `group/project`.
    pub project: String,
    /// Labels of all objects of the job.
    pub labels: Labels,
    /// The user's image.
    pub image: ImagePlan,
    /// What the runner writes the scripts for.
    pub shell: Shell,
    /// The entrypoint that the job sets instead of the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// The user that the job sets instead of the image's own.
    pub user: Option<String>,
    /// The image with git; `None` where the job container does all.
    pub helper_image: Option<ImagePlan>,
    /// Where jobs are checked out; the root of a volume of this job's own.
    pub builds_dir: String,
    /// `CI_PROJECT_DIR`; empty during `config`, where the runner does not know it yet.
    pub project_dir: String,
    /// Where caches are kept.
    pub cache_dir: String,
    /// The volume that keeps them; `None` where the job declares none.
    pub cache: Option<CacheKey>,
    /// What the operator mounts into all containers of the job.
    pub volumes: Vec<VolumePlan>,
    /// Name of the agent volume.
    pub agent_volume: String,
    /// Bytes of the tmpfs for GitLab's file variables.
    pub file_variables_bytes: u64,
    /// Limits of the job container.
    pub limits: LimitPlan,
    /// Containers beside the job, in their order.
    pub services: Vec<ServicePlan>,
    /// How long they may take to be ready, all together; 0 does not wait.
    pub services_timeout_seconds: u64,
    /// How much of each one's output the daemon keeps, in bytes.
    pub service_log_bytes: u64,
    /// Limits of the helper container.
    pub helper_limits: LimitPlan,
    /// What the job container may do to its host.
    pub rights: Rights,
    /// What the helper container may do to its host.
    pub helper_rights: Rights,
    /// The job's network.
    pub network: NetworkPlan,
    /// What the job gets at `/var/run/docker.sock`.
    pub socket: SocketMode,
    /// The engine's socket on the host, for [`SocketMode::Raw`].
    pub socket_path: String,
    /// The rules of [`SocketMode::Brokered`]; `None` for the other modes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerPlan>,
    /// What the job gets from Vault.
    pub secrets: Vec<SecretRef>,
    /// What goes after this job's success, where it is a delivery.
    pub prune: Option<PrunePolicy>,
    /// Where its tags go from the registry too: who may do that.
    pub prune_registry: Option<ImageSource>,
    /// What is unsafe in force for this job, one line each.
    pub notices: Vec<String>,
}

/// Which container a stage runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The user's image.
    Job,
    /// The image with git.
    Helper,
}

/// Where a stage goes and what it may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The container.
    pub container: Role,
    /// Whether it gets secrets, entrypoint and the user's environment.
    pub user_stage: bool,
}

impl JobPlan {
    /// Where a stage goes.
    pub fn route(&self, stage: &Stage) -> Route {
        let user_stage = stage.is_user();
        let helper = !user_stage && self.helper_image.is_some();
        Route { container: if helper { Role::Helper } else { Role::Job }, user_stage }
    }

    /// The logins whose passwords lie in Vault, each once.
    pub fn vault_logins(&self) -> Vec<&VaultLogin> {
        let services = self.services.iter().map(|service| &service.image);
        let images = std::iter::once(&self.image).chain(&self.helper_image).chain(services);
        let sources = images.flat_map(|image| &image.sources);
        let mut logins: Vec<&VaultLogin> = Vec::new();
        for login in sources.filter_map(|source| source.login.vault.as_ref()) {
            if !logins.contains(&login) {
                logins.push(login);
            }
        }
        logins
    }

    /// The name of a container.
    pub fn container_name(&self, role: Role) -> String {
        self.key.name(match role {
            Role::Job => "job",
            Role::Helper => "helper",
        })
    }
}
