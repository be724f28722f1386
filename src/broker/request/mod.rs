//! From what a client sent to one of the requests that there are; anything else is refused. Pure, and
//! never panics, whatever the bytes.

pub mod action;
pub mod build;
pub mod container;
pub mod endpoint;
pub mod exec;
mod fields;
mod head;
pub mod host;
pub mod image;
pub mod limits;
pub mod mount;
pub mod network;
mod query;
mod read;
mod strict;
mod target;

use super::refusal::Refusal;
use action::{ContainerAction, ExecAction};
use build::Build;
use container::ContainerCreate;
use exec::{Commit, Login};
pub(in crate::broker) use fields::printable;
pub use head::{BodyKind, Head, Method, is_raw, route};
use image::ImageAction;
use network::{Connection, NetworkCreate, VolumeCreate};
pub use query::Filters;
use query::Query;
use read::Sent;

/// Longest JSON body, in bytes (T5).
pub const MAX_JSON: usize = 1 << 20;

/// Longest target of a request line, in bytes (T1).
pub const MAX_TARGET: usize = 16 << 10;

/// What a job can ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Whether the daemon is there.
    Ping {
        /// Asked by HEAD.
        head: bool,
    },
    /// What it is.
    Version,
    /// What its host has.
    Info,
    /// Whether a login holds.
    Auth(Login),
    /// What happens to the job's objects.
    Events {
        /// Not older.
        since: Option<String>,
        /// Until then.
        until: Option<String>,
        /// Which.
        filters: Filters,
    },
    /// A new container.
    ContainerCreate(Box<ContainerCreate>),
    /// The job's containers.
    Containers(ContainersQuery),
    /// Those that have ended go.
    ContainersPrune(Filters),
    /// One of them.
    Container {
        /// Name or id.
        container: String,
        /// What is done to it.
        action: ContainerAction,
    },
    /// An exec instance.
    Exec {
        /// Its id.
        exec: String,
        /// What is done to it.
        action: ExecAction,
    },
    /// An image from a container.
    Commit(Box<Commit>),
    /// An image from a Dockerfile.
    Build(Box<Build>),
    /// The build cache goes.
    BuildPrune,
    /// Images that the job may use.
    Images {
        /// With those that others are made of.
        all: bool,
        /// Which.
        filters: Filters,
    },
    /// An image from a registry.
    ImagePull {
        /// Name.
        image: String,
        /// Tag or digest.
        tag: Option<String>,
        /// `os/arch[/variant]`.
        platform: Option<String>,
    },
    /// Unused ones go.
    ImagesPrune(Filters),
    /// Images as an archive.
    ImagesSave {
        /// Names or ids.
        images: Vec<String>,
    },
    /// One image.
    Image {
        /// Name or id.
        image: String,
        /// What is done to it.
        action: ImageAction,
    },
    /// The job's networks.
    Networks(Filters),
    /// Unused ones go.
    NetworksPrune(Filters),
    /// A new network.
    NetworkCreate(NetworkCreate),
    /// One of them.
    Network {
        /// Name or id.
        network: String,
        /// What is done to it.
        action: NetworkAction,
    },
    /// The job's volumes.
    Volumes(Filters),
    /// Unused ones go.
    VolumesPrune(Filters),
    /// A new volume.
    VolumeCreate(VolumeCreate),
    /// One of them.
    Volume {
        /// Name.
        volume: String,
        /// What is done to it.
        action: VolumeAction,
    },
}

/// `GET /containers/json`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainersQuery {
    /// Those that have ended too.
    pub all: bool,
    /// At most so many.
    pub limit: Option<i64>,
    /// With the sizes of their files.
    pub size: bool,
    /// Which.
    pub filters: Filters,
}

/// What can be done to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkAction {
    /// `GET`
    Inspect,
    /// `DELETE`
    Remove,
    /// `POST connect`
    Connect(Connection),
    /// `POST disconnect`
    Disconnect(Connection),
}

/// What can be done to a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeAction {
    /// `GET`
    Inspect,
    /// `DELETE`
    Remove {
        /// An absent one is fine.
        force: bool,
    },
}

impl Request {
    /// Reads a request; `body` is empty but for [`BodyKind::Json`].
    ///
    /// # Errors
    /// What is malformed, unknown or can never be allowed.
    pub fn read(head: &Head, body: &[u8]) -> Result<Self, Refusal> {
        let (endpoint, object, query) = head::found(head)?;
        if body.len() > MAX_JSON {
            return Err(Refusal::malformed("body", "the body is too large").with_status(413));
        }
        Sent { call: endpoint.call, object, query: Query::new(query), body }.read()
    }
}
