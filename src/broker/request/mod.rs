//! From what a client sent to one of the requests that there are; anything else is refused. Pure, and
//! never panics, whatever the bytes.

pub mod action;
pub mod build;
pub mod container;
pub mod endpoint;
pub mod exec;
mod fields;
pub mod host;
pub mod image;
pub mod network;
mod query;
mod read;
mod strict;
mod target;

use super::refusal::Refusal;
use action::{ContainerAction, ExecAction};
use build::Build;
use container::ContainerCreate;
use endpoint::{Call, Endpoint};
use exec::{Commit, Login};
pub(in crate::broker) use fields::printable;
use image::ImageAction;
use network::{Connection, NetworkCreate, VolumeCreate};
pub use query::Filters;
use query::Query;
use read::Sent;
use target::Target;

/// Longest JSON body, in bytes (T5).
pub const MAX_JSON: usize = 1 << 20;

/// Longest target of a request line, in bytes (T1).
pub const MAX_TARGET: usize = 16 << 10;

/// The methods that there are (T1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

impl Method {
    /// From a request line; methods are upper case.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    /// As in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A request's head as the transport hands it over, its own checks (T1, T4, T8, T9) done. Logins that
/// the client sent (`X-Registry-Auth`, `X-Registry-Config`) are not among it: they are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Method.
    pub method: Method,
    /// The target as it stands in the request line: path, and `?` with the query.
    pub target: String,
    /// `Content-Type`, where there is one.
    pub content_type: Option<String>,
    /// Whether there is a body: a content length other than 0, or chunks.
    pub has_body: bool,
}

/// What the transport has to read after the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Nothing; a body is refused.
    None,
    /// At most [`MAX_JSON`] bytes, all of them before the decision.
    Json,
    /// A stream that is passed on, or looked through, while it comes.
    Stream,
}

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
        let (endpoint, object, query) = found(head)?;
        if body.len() > MAX_JSON {
            return Err(Refusal::malformed("body", "the body is too large").with_status(413));
        }
        Sent { call: endpoint.call, object, query: Query::new(query), body }.read()
    }
}

/// Which body belongs to a head; refuses already what is no endpoint, so that nothing is read for it.
///
/// # Errors
/// Where the head alone is refused.
pub fn route(head: &Head) -> Result<BodyKind, Refusal> {
    found(head).map(|(endpoint, ..)| endpoint.body)
}

/// Whether this request makes its connection a raw stream, whatever its headers say.
pub fn is_raw(head: &Head) -> bool {
    found(head).is_ok_and(|(endpoint, ..)| {
        matches!(endpoint.call, Call::ContainerAttach | Call::ExecStart)
    })
}

type Found = (&'static Endpoint, String, Vec<(String, String)>);

fn found(head: &Head) -> Result<Found, Refusal> {
    let target = Target::read(&head.target)?;
    let (endpoint, object) = endpoint::find(head.method, &target.segments)?;
    if endpoint.call == Call::ImagePull && target.query.iter().any(|(key, _)| key == "fromSrc") {
        return Err(image::import());
    }
    if endpoint.body == BodyKind::None && head.has_body {
        return Err(Refusal::malformed("body", "this endpoint takes no body"));
    }
    check_type(head, endpoint.body)?;
    Ok((endpoint, object, target.query))
}

/// A form's fields would stand above the query at the daemon (T6).
fn check_type(head: &Head, body: BodyKind) -> Result<(), Refusal> {
    let Some(written) = head.content_type.as_deref().filter(|_| head.has_body) else {
        return Ok(());
    };
    let plain = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let fits = match body {
        BodyKind::None => true,
        BodyKind::Json => plain == "application/json",
        BodyKind::Stream => matches!(
            plain.as_str(),
            // The second is what `docker cp` says of its archive.
            "application/x-tar" | "text/plain" | "application/tar" | "application/octet-stream"
        ),
    };
    let refusal = || Refusal::malformed("content-type", "the body is of the wrong type");
    if fits { Ok(()) } else { Err(refusal().with_status(415)) }
}
