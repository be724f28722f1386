//! Requests that bollard cannot make: its types of `/system/df` and `/build/prune` are those of API 1.48
//! and newer, in which a daemon of API 1.41 is not understood. One connection for each.

use bollard::errors::Error;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::DockerEngine;
use super::connect::API_PREFIX;

/// What the daemon says where it refuses.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Asks the engine's daemon for `path`, which begins with a slash and has no version.
pub(super) async fn ask<T: DeserializeOwned>(
    engine: &DockerEngine,
    method: Method,
    path: &str,
) -> Result<T, Error> {
    let host = engine.host.as_str();
    let body = if let Some(tls) = &engine.tls {
        send(tls.connect().await.map_err(broken)?, tls.authority(), method, path).await?
    } else if let Some(socket) =
        host.strip_prefix("unix://").or(host.starts_with('/').then_some(host))
    {
        let stream = UnixStream::connect(socket).await.map_err(broken)?;
        send(stream, "localhost", method, path).await?
    } else {
        let address = host.split_once("://").map_or(host, |(_, address)| address);
        let stream = TcpStream::connect(address).await.map_err(broken)?;
        send(stream, address, method, path).await?
    };
    serde_json::from_slice(&body).map_err(|error| broken(std::io::Error::other(error)))
}

async fn send<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    host: &str,
    method: Method,
    path: &str,
) -> Result<Bytes, Error> {
    let unspoken = |err: hyper::Error| Error::HyperResponseError { err };
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(unspoken)?;
    let request = Request::builder()
        .method(method)
        .uri(format!("{API_PREFIX}{path}"))
        .header(HOST, host)
        .body(Empty::<Bytes>::new())
        .map_err(|error| broken(std::io::Error::other(error)))?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, body))
    };
    // Whoever of the two ends first: the connection's own end comes with the answer's.
    let exchange = async move {
        tokio::pin!(exchange);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = &mut connection => {
                ended?;
                exchange.await
            }
        }
    };
    let (status, body) = exchange.await.map_err(unspoken)?;
    if status.is_success() {
        return Ok(body);
    }
    let message = serde_json::from_slice(&body)
        .map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |one: Refusal| one.message);
    Err(Error::DockerResponseServerError { status_code: status.as_u16(), message })
}

fn broken(err: std::io::Error) -> Error {
    Error::IOError { err }
}
