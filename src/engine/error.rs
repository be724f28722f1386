//! What can go wrong at the engine, and whose fault it is. Says verb, object and cause; hints belong to
//! the conductor that knows the job.

use std::time::Duration;

/// The class of an engine error, which decides what the conductor does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no socket at the daemon's address.
    NoSocket,
    /// Nobody listens at the socket, this user may not use it, or the connection broke.
    Unreachable,
    /// The daemon did not answer in time.
    Deadline,
    /// The object does not exist (404).
    NotFound,
    /// The object exists already, is in use or in the wrong state (409, 304).
    Conflict,
    /// The daemon refuses the request as it stands (400, 403).
    Refused,
    /// A registry refused the credentials or hides the image (401, 403, "denied").
    Denied,
    /// A registry does not have the image (404, "not found", "manifest unknown").
    NoSuchImage,
    /// A registry shows a certificate that the daemon does not trust, or none at all (x509, plain HTTP).
    Untrusted,
    /// A registry limits how often we may ask (429): trying again later helps.
    Throttled,
    /// A registry or the way to it fails for now (5xx, network): trying again may help.
    Transient,
    /// The daemon itself failed (500) or answered something we do not know.
    Daemon,
}

impl Fault {
    /// Whether the daemon itself is not there, or does not answer: whatever is asked next will fare no better.
    pub fn is_away(self) -> bool {
        matches!(self, Self::NoSocket | Self::Unreachable | Self::Deadline)
    }
}

/// A failed engine call.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {object}: {cause}")]
pub struct EngineError {
    /// What was tried, e.g. `create container`.
    pub verb: &'static str,
    /// On what, e.g. the container's name.
    pub object: String,
    /// The class.
    pub fault: Fault,
    /// The daemon's own words, or ours where it said nothing.
    pub cause: String,
    /// `Retry-After`, where a registry told one.
    pub retry_after: Option<Duration>,
}
