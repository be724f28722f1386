//! The head of a request: method, target and type, from which its endpoint and the kind of its body follow. Pure.

use crate::broker::refusal::Refusal;

use super::endpoint::{self, Call, Endpoint};
use super::image;
use super::target::Target;

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
    /// At most [`super::MAX_JSON`] bytes, all of them before the decision.
    Json,
    /// A stream that is passed on, or looked through, while it comes.
    Stream,
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

/// The endpoint of a head, the object that it names, and its query.
pub(super) fn found(head: &Head) -> Result<Found, Refusal> {
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
