//! What goes to the daemon instead of what the job sent, and what is done with the answer. Types only.

use serde::Serialize;

use super::request::Method;

/// A request written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Minor number of the version that is spoken for it; `None` speaks the daemon's own newest, for what
    /// is the same in all of them.
    pub api: Option<u32>,
    /// Method.
    pub method: Method,
    /// Path without the version, each part of it checked; begins with a slash.
    pub path: String,
    /// Query, not yet percent-encoded.
    pub query: Vec<(&'static str, String)>,
    /// Body.
    pub body: OutBody,
    /// Whose login goes with it.
    pub login: LoginFor,
    /// How long the daemon may take.
    pub patience: Patience,
    /// What is done with the answer.
    pub answer: Answer,
    /// What the view is told once the daemon said 2xx (for a pull, push or build: once its stream ended
    /// without an `error`).
    pub notes: Vec<Note>,
    /// Symbolic links to be put into a container once it is created, before its id is told to anybody:
    /// path in the container, and where it points. See `workspace::archive`.
    pub links: Vec<Link>,
    /// Lines for the job log: what is unusual, though it is allowed.
    pub told: Vec<String>,
}

impl Outgoing {
    /// A request with nothing but a path, whose answer passes on as it is.
    pub fn plain(method: Method, path: String) -> Self {
        Self {
            api: None,
            method,
            path,
            query: Vec::new(),
            body: OutBody::None,
            login: LoginFor::Nobody,
            patience: Patience::Control,
            answer: Answer::Relay,
            notes: Vec::new(),
            links: Vec::new(),
            told: Vec::new(),
        }
    }
}

/// The body of an [`Outgoing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutBody {
    /// None; `Content-Length: 0` for a POST.
    None,
    /// `application/json`.
    Json(Vec<u8>),
    /// The job's own bytes, an archive (`application/x-tar`).
    Archive,
}

/// The login that is put into `X-Registry-Auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginFor {
    /// No header.
    Nobody,
    /// The job's login for this image's registry, where it has one.
    Image(String),
}

/// How long the daemon may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It answers at once: 10 s (T11), more for what starts or stops a container.
    Control,
    /// As long as the job lasts.
    Job,
}

/// What is done with the answer's body. Answers that are not 2xx always go through
/// `answer::error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Streamed as it is: logs, archives.
    Relay,
    /// The connection becomes raw in both directions (101, or 200 from older daemons).
    Hijack,
    /// One JSON document, read whole (at most 16 MiB) and rewritten.
    Document(Shape),
    /// A stream of JSON documents, each rewritten as it comes.
    Documents(Shape),
}

/// What a document shows, so that it can be cut down to what is the job's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{"Id": …}` of what was created, `{"StatusCode": …}`, `{"Titles": …}`: nothing of others in it.
    Plain,
    /// `GET /version`.
    Version,
    /// `GET /containers/json`.
    Containers,
    /// `GET /containers/ID/json`.
    Container,
    /// `GET /exec/ID/json`.
    Exec,
    /// `GET /images/json`.
    Images,
    /// `GET /images/NAME/json`.
    Image,
    /// `GET /images/NAME/history`.
    History,
    /// `GET /networks`.
    Networks,
    /// `GET /networks/ID`.
    Network,
    /// `GET /volumes`.
    Volumes,
    /// `GET /volumes/NAME` and the answer to a create.
    Volume,
    /// One event.
    Event,
    /// Progress of a pull, a push or a build.
    Progress,
}

/// A symbolic link in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it is.
    pub at: String,
    /// Where it points.
    pub to: String,
}

/// A kind of object with an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// An exec instance.
    Exec,
}

/// What a job does to images that the ledger tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It came from a registry.
    Pulled,
    /// A build or a commit made it.
    Built,
    /// It got another name.
    Tagged,
    /// It went to a registry.
    Pushed,
}

/// What has become of the job's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// This is the job's, under this name of its own.
    Created {
        /// What it is.
        kind: Kind,
        /// As the job calls it; empty for what has an id only.
        name: String,
        /// Its id, where it is known before: a volume's name. Else it is the answer's `Id`.
        id: Option<String>,
    },
    /// The container that was just created publishes so many ports.
    Published {
        /// How many.
        ports: usize,
    },
    /// It is gone.
    Removed {
        /// What it was.
        kind: Kind,
        /// Its id; a volume's name.
        id: String,
    },
    /// A container has another name.
    Renamed {
        /// Its id.
        id: String,
        /// As the job calls it now.
        name: String,
    },
    /// These references name images that the job may use; the forwarder asks the daemon for their ids.
    Images {
        /// As the daemon knows them.
        references: Vec<String>,
        /// By what they came to be so, for the ledger; `None` for what was only looked at.
        deed: Option<Deed>,
    },
    /// An image is in its registry, once the daemon has told under which digest.
    Pushed {
        /// `host/path:tag`
        reference: String,
    },
    /// A reference is gone.
    Untagged {
        /// As the daemon knew it.
        reference: String,
    },
}
