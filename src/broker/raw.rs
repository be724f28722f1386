//! Connections that become raw streams (attach, exec): bytes both ways, each way with its own end, and
//! nothing of them read.

use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::forward::{Answered, Body, Connection, empty};

/// A client's connection that is to become a raw stream.
pub(super) struct Wanted {
    pub(super) connection: OnUpgrade,
    /// Whether the client asked for the switch. Old clients do not, and take a `200 OK` for it.
    pub(super) asked: bool,
}

/// Joins the daemon's raw stream with the client's. The answer for a client that did not ask has the status
/// 101 too, without which hyper keeps the connection: `connection` writes it as 200.
pub(super) fn join(answered: Answered, client: Wanted) -> Response<Body> {
    let Answered { mut response, connection } = answered;
    let kind = response.headers().get(CONTENT_TYPE).cloned();
    let daemon = hyper::upgrade::on(&mut response);
    let mut to_client = Response::new(empty());
    *to_client.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = to_client.headers_mut();
    let kind = kind.unwrap_or(HeaderValue::from_static("application/vnd.docker.raw-stream"));
    headers.insert(CONTENT_TYPE, kind);
    if client.asked {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    } else {
        to_client.extensions_mut().insert(ReasonPhrase::from_static(b"OK"));
    }
    tokio::spawn(copy(daemon, client.connection, connection));
    to_client
}

async fn copy(daemon: OnUpgrade, client: OnUpgrade, connection: Connection) {
    let (Ok(daemon), Ok(client)) = tokio::join!(daemon, client) else { return };
    let (mut daemon, mut client) = (TokioIo::new(daemon), TokioIo::new(client));
    // Whoever breaks off first ends it for both.
    let _ = tokio::io::copy_bidirectional(&mut daemon, &mut client).await;
    drop(connection);
}
