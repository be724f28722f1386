//! From what a client sent to one of the requests that there are; anything else is refused. Pure, and
//! never panics, whatever the bytes.

mod target;

use super::refusal::Refusal;
pub use target::Target;

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

/// Which body belongs to a head; refuses already what is no endpoint, so that nothing is read for it.
///
/// # Errors
/// Where the head alone is refused.
pub fn route(head: &Head) -> Result<BodyKind, Refusal> {
    Target::read(&head.target)?;
    Err(Refusal::forbidden("endpoint", "nothing is offered yet"))
}

/// What a job can ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Whether the daemon is there.
    Ping,
}

impl Request {
    /// Reads a request; `body` is empty but for [`BodyKind::Json`].
    ///
    /// # Errors
    /// What is malformed, unknown or can never be allowed.
    pub fn read(head: &Head, body: &[u8]) -> Result<Self, Refusal> {
        let _ = body;
        route(head)?;
        Err(Refusal::forbidden("endpoint", "nothing is offered yet"))
    }
}
