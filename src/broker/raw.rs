//! Connections that become raw streams (attach, exec): bytes both ways, each way with its own end, and
//! nothing of them read.

use std::io;

use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_util::io::ReaderStream;

use super::forward::{Answered, Body, BodyError, Connection, empty};

/// Joins the daemon's raw stream with the client's, where that asked for one; else the stream is the body
/// of an ordinary answer.
pub(super) fn join(answered: Answered, client: Option<OnUpgrade>) -> Response<Body> {
    let Answered { mut response, connection } = answered;
    let kind = response.headers().get(CONTENT_TYPE).cloned();
    let daemon = hyper::upgrade::on(&mut response);
    let mut to_client = match client {
        Some(client) => {
            tokio::spawn(copy(daemon, client, connection));
            switched()
        }
        None => Response::new(body(daemon, connection)),
    };
    let kind = kind.unwrap_or(HeaderValue::from_static("application/vnd.docker.raw-stream"));
    to_client.headers_mut().insert(CONTENT_TYPE, kind);
    to_client
}

fn switched() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("tcp"));
    response
}

async fn copy(daemon: OnUpgrade, client: OnUpgrade, connection: Connection) {
    let (Ok(daemon), Ok(client)) = tokio::join!(daemon, client) else { return };
    let (mut daemon, mut client) = (TokioIo::new(daemon), TokioIo::new(client));
    // Whoever breaks off first ends it for both.
    let _ = tokio::io::copy_bidirectional(&mut daemon, &mut client).await;
    drop(connection);
}

/// The daemon's half alone. Its other half stays open: to close it would end the container's input.
fn body(daemon: OnUpgrade, connection: Connection) -> Body {
    let opened = async move {
        let upgraded: Upgraded = daemon.await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(ReaderStream::new(TokioIo::new(upgraded)))
    };
    let stream = futures_util::stream::once(opened).flat_map(|opened| match opened {
        Ok(stream) => stream.left_stream(),
        Err(error) => futures_util::stream::once(std::future::ready(Err(error))).right_stream(),
    });
    let frames = stream.map(move |bytes| {
        let _open = &connection;
        bytes.map(Frame::data).map_err(BodyError::from)
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}
