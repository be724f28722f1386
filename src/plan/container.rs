//! The shape of one container as the plan wants it: flat, printable, without a daemon type or a secret.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ServiceEnv;
pub use crate::settings::Gpus;

/// Labels of an object that longshore makes; all our keys begin with `longshore.`.
pub type Labels = BTreeMap<String, String>;

/// One container to be created, complete but for the image's own facts (see `plan::JobPlan`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerPlan {
    /// The container's name, derived from the job alone.
    pub name: String,
    /// The image reference to create it from, variables expanded.
    pub image: String,
    /// `os/arch[/variant]`, where the job asked for one.
    pub platform: Option<String>,
    /// Replaces the image's entrypoint; always the agent.
    pub entrypoint: Vec<String>,
    /// The user PID 1 runs as, `0:0` for the agent.
    pub user: String,
    /// Environment added to the image's own; never a secret.
    pub env: BTreeMap<String, String>,
    /// Host name inside the container; `None` where it joins another's network.
    pub hostname: Option<String>,
    /// Where its packets go.
    pub network: ContainerNetwork,
    /// What is mounted where.
    pub mounts: Vec<MountPlan>,
    /// Limits of memory, CPU and processes.
    pub limits: LimitPlan,
    /// What it may do to its host.
    pub isolation: IsolationPlan,
    /// How it finds names.
    pub resolver: ResolverPlan,
    /// Capabilities kept, by name without `CAP_`; all others are dropped.
    pub capabilities: Vec<String>,
    /// `SecurityOpt` lines such as `no-new-privileges`.
    pub security: Vec<String>,
    /// Our labels.
    pub labels: Labels,
    /// `Some` where the image's own process runs in it, not the agent: a service.
    pub own_process: Option<OwnProcess>,
}

/// What a container has in which the image's own process runs. An empty entrypoint of its plan is the
/// image's own then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnProcess {
    /// Instead of the image's command; empty for the image's own.
    pub command: Vec<String>,
    /// Environment added to the image's own.
    pub env: ServiceEnv,
    /// How much of its output the daemon keeps, in bytes; 0 keeps nothing.
    pub log_bytes: u64,
}

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerNetwork {
    /// A network of this name, answering to these aliases too.
    Named {
        /// The network's name.
        name: String,
        /// Extra DNS names of the container on it.
        aliases: Vec<String>,
    },
    /// The network namespace of the container of this name.
    Join(String),
    /// The slot network that `prepare` leases; filled in before creation.
    Slot {
        /// Extra DNS names of the container on it.
        aliases: Vec<String>,
    },
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MountPlan {
    /// Absolute path inside the container.
    pub target: String,
    /// What is mounted there.
    pub source: MountSource,
    /// Whether the container may not write to it.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A named volume, made by the daemon at creation where it does not exist.
    Volume {
        /// Its name.
        name: String,
        /// Labels it gets when it is made now.
        labels: Labels,
        /// Size of the tmpfs that backs it, in bytes; `None` for a volume on disk.
        tmpfs_bytes: Option<u64>,
    },
    /// A tmpfs of this container alone, of at most this many bytes.
    Tmpfs {
        /// Upper bound in bytes.
        bytes: u64,
    },
    /// A path of the host (the raw Docker socket only).
    HostPath(String),
}

/// Limits of one container; `None` is the engine's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LimitPlan {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of memory and swap together; as much as memory where nobody said otherwise.
    pub memory_swap_bytes: Option<u64>,
    /// Bytes that it is taken back down to when the host runs short.
    pub memory_reservation_bytes: Option<u64>,
    /// CPUs in billionths.
    pub nano_cpus: Option<u64>,
    /// The CPUs it may run on.
    pub cpuset_cpus: Option<String>,
    /// The memory nodes it may use.
    pub cpuset_mems: Option<String>,
    /// Weight where CPU is short.
    pub cpu_shares: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Bytes of `/dev/shm`.
    pub shm_bytes: Option<u64>,
    /// Limits of `setrlimit`: name, soft, hard.
    pub ulimits: Vec<(String, i64, i64)>,
    /// The cgroup that the container's own is made in.
    pub cgroup_parent: Option<String>,
}

/// What a container may do to its host, beside its capabilities. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IsolationPlan {
    /// All devices and capabilities.
    pub privileged: bool,
    /// The daemon's runtime.
    pub runtime: Option<String>,
    /// User namespace.
    pub userns: Option<String>,
    /// Devices: path on the host, path inside, permissions.
    pub devices: Vec<(String, String, String)>,
    /// Rules for device numbers.
    pub device_cgroup_rules: Vec<String>,
    /// GPUs.
    pub gpus: Option<Gpus>,
    /// Kernel settings of its own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Further groups of PID 1.
    pub group_add: Vec<String>,
    /// Directories in memory with their mount options.
    pub tmpfs: BTreeMap<String, String>,
}

/// How a container finds names; nothing for one that joins another's network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ResolverPlan {
    /// Addresses of name servers.
    pub dns: Vec<String>,
    /// Domains that short names are looked up in.
    pub dns_search: Vec<String>,
    /// Options of `resolv.conf`.
    pub dns_options: Vec<String>,
    /// `NAME:ADDRESS`.
    pub extra_hosts: Vec<String>,
}
