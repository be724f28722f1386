//! The port to the container engine, in our own types. Who speaks to a daemon speaks through
//! [`Engine`]; nothing here or behind it knows of jobs, GitLab or Vault.

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use tokio::io::AsyncWrite;

use crate::plan::container::{ContainerPlan, Labels};

mod convert;
pub mod docker;
pub mod error;
pub mod meter;
mod registry;
pub mod tls;
mod usage;

pub use docker::{Deadlines, DockerEngine};
pub use error::{EngineError, Fault};
pub use registry::fault as registry_fault;
pub use registry::tags::Repository;
pub use tls::Tls;
pub use usage::{CachePrune, CacheRecord, DiskUsage, ImageUsage, VolumeUsage};

/// What an attached container writes: stdout (frames of our agent) or stderr (its last words).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Bytes of standard output.
    Stdout(Bytes),
    /// Bytes of standard error.
    Stderr(Bytes),
}

/// Output as it comes.
pub type OutputStream = Pin<Box<dyn Stream<Item = Result<Output, EngineError>>>>;

/// Both directions of an attach. Dropping it hangs up; the container goes on.
pub struct Attached {
    /// What the container writes from now on.
    pub output: OutputStream,
    /// The container's standard input.
    pub input: Pin<Box<dyn AsyncWrite>>,
}

/// One container as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSummary {
    /// Full 64-digit id.
    pub id: String,
    /// Its name without the leading slash.
    pub name: String,
    /// The image id it was created from, `sha256:...`.
    pub image_id: String,
    /// `created`, `running`, `exited`, `dead`, ...
    pub state: String,
    /// All labels.
    pub labels: Labels,
    /// Names of the networks it is on.
    pub networks: Vec<String>,
    /// Names of the volumes it mounts.
    pub volumes: Vec<String>,
    /// Creation time, Unix seconds.
    pub created: i64,
}

/// How a container stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerState {
    /// Full id.
    pub id: String,
    /// Whether its PID 1 runs.
    pub running: bool,
    /// Exit code of its last run.
    pub exit_code: i64,
    /// The kernel killed one of its processes for memory.
    pub oom_killed: bool,
    /// The daemon's own words on why it did not start.
    pub error: String,
    /// Its address on its network; `None` where it has none of its own.
    pub address: Option<IpAddr>,
}

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// `sha256:...`
    pub id: String,
    /// `USER`, empty for root.
    pub user: String,
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// `repo@sha256:...` references.
    pub digests: Vec<String>,
    /// Size in bytes.
    pub size: u64,
    /// TCP ports it exposes, ascending.
    pub ports: Vec<u16>,
    /// The command of its `HEALTHCHECK`; empty where it has none.
    pub health_command: Vec<String>,
    /// Its layers from the lowest on, each by the digest of its content.
    pub layers: Vec<String>,
    /// When one of its tags was last set on this host, Unix seconds.
    pub tagged: Option<u64>,
}

/// One image as a list shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSummary {
    /// `sha256:...`
    pub id: String,
    /// `repo:tag` references.
    pub tags: Vec<String>,
    /// `repo@sha256:...` references.
    pub digests: Vec<String>,
    /// Labels of the image.
    pub labels: Labels,
    /// Creation time, Unix seconds.
    pub created: i64,
    /// Size in bytes.
    pub size: u64,
}

/// One network as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSummary {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its subnets in CIDR notation, IPv4 and IPv6; none on networks of the host or of nobody.
    pub subnets: Vec<String>,
}

/// A volume with its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
}

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It was there and is gone.
    Gone,
    /// It was not there; for a teardown as good as gone.
    Absent,
}

/// Credentials for one registry operation. Never printed.
#[derive(Clone)]
pub struct RegistryLogin {
    /// Host and port as in image references.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: crate::secrets::Secret,
}

/// Progress of a pull: one line of the daemon's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// Layer id, or empty for the whole.
    pub layer: String,
    /// The daemon's word: `Downloading`, `Pull complete`, ...
    pub status: String,
    /// Bytes so far and in all, where told.
    pub bytes: Option<(u64, u64)>,
}

/// The container engine.
///
/// Contract: every call has its own deadline and ends with [`EngineError`] that says verb, object and
/// cause. Removals treat "already gone" as success and are safe to call twice, and when nothing was
/// ever made. Nothing is retried in here but what is said so.
#[expect(async_fn_in_trait, reason = "one thread drives a call; no future crosses threads")]
pub trait Engine {
    /// Checks that the daemon answers and speaks our API version.
    async fn ping(&self) -> Result<(), EngineError>;
    /// Lists all containers, running or not, that carry this label (`key` or `key=value`); all there are
    /// for `None`. A container's labels are its image's, overlaid by its own.
    async fn containers(&self, label: Option<&str>) -> Result<Vec<ContainerSummary>, EngineError>;
    /// Looks an image up by reference or id; `None` where the engine has none.
    async fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError>;
    /// Pulls an image, telling `progress` of each step.
    async fn pull(
        &self,
        reference: &str,
        platform: Option<&str>,
        login: Option<&RegistryLogin>,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<(), EngineError>;
    /// Asks an image's registry whether who has this login, or none, could pull it; fetches nothing.
    /// [`Fault::Denied`] and [`Fault::NoSuchImage`] are its no.
    async fn may_pull(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<(), EngineError>;
    /// Lists images that are not intermediate; `dangling` ones included.
    async fn images(&self) -> Result<Vec<ImageSummary>, EngineError>;
    /// Removes one reference (`repo:tag`, `repo@digest`) or a dangling image by id; never forced.
    async fn remove_image(&self, reference: &str) -> Result<Removed, EngineError>;
    /// Creates a container and answers its id. [`Fault::NotFound`] is its image, gone or of another platform
    /// since it was looked up; [`Fault::Conflict`] its name, taken.
    async fn create(&self, plan: &ContainerPlan) -> Result<String, EngineError>;
    /// Starts a container, once. [`Fault::NotFound`] is itself or its network, [`Fault::Conflict`] the
    /// container that it joins, not running; [`Fault::Refused`] an entrypoint that the image does not have.
    async fn start(&self, name: &str) -> Result<(), EngineError>;
    /// Attaches to a container's streams: from the moment of the call on, and before its start for the
    /// first byte. One that has ended already is silent for ever; the caller needs a deadline of its own.
    async fn attach(&self, name: &str) -> Result<Attached, EngineError>;
    /// How a container stands; `None` where there is none.
    async fn inspect(&self, name: &str) -> Result<Option<ContainerState>, EngineError>;
    /// Runs a command in a container that runs, as its user, and answers the command's exit code. Its
    /// output is dropped. [`Fault::Conflict`] where the container does not run.
    async fn exec(&self, name: &str, command: &[String]) -> Result<i64, EngineError>;
    /// What a container wrote, as far as the daemon kept it; `tail` lines of it, or all for `None`. With
    /// `follow` it goes on until the container ends.
    async fn logs(
        &self,
        name: &str,
        tail: Option<usize>,
        follow: bool,
    ) -> Result<OutputStream, EngineError>;
    /// Kills (where it runs) and removes a container with its anonymous volumes. [`Removed::Gone`] also
    /// where another removal of it is under way.
    async fn remove_container(&self, name: &str) -> Result<Removed, EngineError>;
    /// Networks that carry this label; all there are for `None`.
    async fn networks(&self, label: Option<&str>) -> Result<Vec<NetworkSummary>, EngineError>;
    /// Makes a bridge network on this subnet, or on one of the daemon's choice; one that exists under that
    /// name already is fine. A subnet that another network overlaps is told with "overlap" in the cause.
    async fn create_network(
        &self,
        name: &str,
        subnet: Option<&str>,
        labels: &Labels,
    ) -> Result<(), EngineError>;
    /// Removes a network.
    async fn remove_network(&self, name: &str) -> Result<Removed, EngineError>;
    /// The gateway address of a network, where it has one.
    async fn gateway(&self, network: &str) -> Result<Option<String>, EngineError>;
    /// Volumes that carry this label.
    async fn volumes(&self, label: &str) -> Result<Vec<Named>, EngineError>;
    /// Removes a volume; one that a container still uses is an error of kind [`Fault::Conflict`].
    async fn remove_volume(&self, name: &str) -> Result<Removed, EngineError>;
    /// Unpacks a tar archive at `path` inside a created container.
    async fn upload(&self, container: &str, path: &str, tar: Bytes) -> Result<(), EngineError>;
    /// The directory that the engine keeps its files in, on its own host.
    async fn data_root(&self) -> Result<PathBuf, EngineError>;
    /// Counts what takes up room. The engine reads the files of each volume for it, which can take minutes.
    async fn disk_usage(&self) -> Result<DiskUsage, EngineError>;
    /// Removes build cache, the least recently used first; answers the bytes that this freed. What a build
    /// is at stays.
    async fn prune_build_cache(&self, prune: &CachePrune) -> Result<u64, EngineError>;
}
