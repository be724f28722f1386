//! The way to the daemon: one new connection for each request, and nothing of the client's own bytes but an
//! archive's content. It decides nothing.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;

use super::outgoing::{Answer, OutBody, Outgoing, Patience, Shape};
use super::request::Method;
use crate::engine::Tls;

/// How long the daemon may take to let us in.
const CONNECT: Duration = Duration::from_secs(10);

/// How long it may take to answer what it knows.
const LOOK: Duration = Duration::from_secs(10);

/// How long it may take to answer what makes it work: a stop waits for the container's own end.
const WORK: Duration = Duration::from_mins(2);

/// Longest document that is looked at.
const LONGEST_LOOK: usize = 16 << 20;

/// The body of a request or an answer on its way.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body does not end as it should.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Where the daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket's path.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
    /// The same, with certificates of both sides.
    Tls(Tls),
}

/// Why there is no answer of the daemon.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// It does not let us in.
    #[error("the Docker daemon cannot be reached: {source}")]
    Unreachable {
        /// What the kernel said.
        source: io::Error,
    },
    /// It does not answer in time.
    #[error("the Docker daemon did not answer within {} s", .after.as_secs())]
    Late {
        /// How long it was waited for.
        after: Duration,
    },
    /// The conversation broke.
    #[error("the conversation with the Docker daemon broke: {source}")]
    Broken {
        /// What hyper said.
        source: hyper::Error,
    },
    /// The request cannot be written.
    #[error("the request cannot be written for the Docker daemon: {source}")]
    Unwritable {
        /// What is wrong with it.
        source: hyper::http::Error,
    },
}

/// An answer, and the connection that it comes over, which ends with this value.
pub struct Answered {
    /// Head and body.
    pub response: Response<Incoming>,
    /// Ends the connection.
    pub connection: Connection,
}

/// The task that drives a connection.
pub struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Address {
    /// From `unix:///path` or `tcp://host:port`, the latter by TLS where that is given; `None` for anything
    /// else.
    pub fn read(host: &str, tls: Option<Tls>) -> Option<Self> {
        if let Some(tls) = tls {
            return Some(Self::Tls(tls));
        }
        if let Some(path) = host.strip_prefix("unix://") {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        let authority = host.strip_prefix("tcp://")?.trim_end_matches('/');
        (!authority.is_empty()).then(|| Self::Tcp(authority.to_owned()))
    }

    /// Sends a request over a connection of its own and waits for the head of its answer. `login` is the
    /// value of `X-Registry-Auth`; `archive` is sent where the request says so.
    ///
    /// # Errors
    /// The daemon is away, late, or breaks off.
    pub async fn send(
        &self,
        outgoing: &Outgoing,
        login: Option<&HeaderValue>,
        archive: Option<Body>,
    ) -> Result<Answered, ForwardError> {
        let request = write(outgoing, login, archive)
            .map_err(|source| ForwardError::Unwritable { source })?;
        let (mut sender, connection) = within(CONNECT, self.connect()).await??;
        let sent = async {
            sender.send_request(request).await.map_err(|source| ForwardError::Broken { source })
        };
        let response = match patience(outgoing) {
            Some(patience) => within(patience, sent).await??,
            None => sent.await?,
        };
        Ok(Answered { response, connection })
    }

    /// Asks for a JSON document of the daemon's own, for us and not for a client.
    ///
    /// # Errors
    /// As [`Address::send`]; `null` stands for what is no document.
    pub async fn look(
        &self,
        path: &str,
        query: &[(&'static str, &str)],
    ) -> Result<serde_json::Value, ForwardError> {
        let look = Outgoing {
            query: query.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
            answer: Answer::Document(Shape::Plain),
            ..Outgoing::plain(Method::Get, path.to_owned())
        };
        let answered = self.send(&look, None, None).await?;
        let body = Limited::new(answered.response.into_body(), LONGEST_LOOK).collect();
        let document = within(LOOK, body).await?.map(Collected::to_bytes);
        Ok(document.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    async fn connect(&self) -> Result<(SendRequest<Body>, Connection), ForwardError> {
        let unreachable = |source| ForwardError::Unreachable { source };
        match self {
            Self::Unix(path) => speak(UnixStream::connect(path).await.map_err(unreachable)?).await,
            Self::Tcp(authority) => {
                let stream = TcpStream::connect(authority).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                speak(stream).await
            }
            Self::Tls(tls) => speak(tls.connect().await.map_err(unreachable)?).await,
        }
    }
}

async fn speak<S>(stream: S) -> Result<(SendRequest<Body>, Connection), ForwardError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = opened.map_err(|source| ForwardError::Broken { source })?;
    let driven = tokio::spawn(async move {
        let _ = connection.with_upgrades().await; // whoever reads the answer hears of it
    });
    Ok((sender, Connection(driven.abort_handle())))
}

async fn within<T>(after: Duration, work: impl Future<Output = T>) -> Result<T, ForwardError> {
    tokio::time::timeout(after, work).await.map_err(|_| ForwardError::Late { after })
}

fn patience(outgoing: &Outgoing) -> Option<Duration> {
    match (outgoing.patience, outgoing.method) {
        (Patience::Job, _) => None,
        (Patience::Control, Method::Get | Method::Head) => Some(LOOK),
        (Patience::Control, _) => Some(WORK),
    }
}

/// A request in hyper's type. Everything in it comes from ours.
fn write(
    outgoing: &Outgoing,
    login: Option<&HeaderValue>,
    archive: Option<Body>,
) -> Result<Request<Body>, hyper::http::Error> {
    let version = outgoing.api.map_or_else(String::new, |minor| format!("/v1.{minor}"));
    let mut target = format!("{version}{}", outgoing.path);
    for (index, (key, value)) in outgoing.query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(key);
        target.push('=');
        encode(value, &mut target);
    }
    let mut request = Request::builder().method(outgoing.method.as_str()).uri(target);
    request = request.header(HOST, "docker");
    if outgoing.answer == Answer::Hijack {
        request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
    }
    if let Some(login) = login {
        request = request.header("x-registry-auth", login);
    }
    let (kind, body) = match (&outgoing.body, archive) {
        (OutBody::Json(json), _) => (Some("application/json"), full(json.clone())),
        (OutBody::Archive, Some(archive)) => (Some("application/x-tar"), archive),
        (OutBody::None | OutBody::Archive, _) => (None, empty()),
    };
    if let Some(kind) = kind {
        request = request.header(CONTENT_TYPE, kind);
    }
    request.body(body)
}

/// Percent-encodes all that is not plain in every part of a query.
fn encode(value: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests;
