//! What carries bollard's requests to a daemon behind TLS: bollard's own way would trust the system's
//! authorities besides ours. One connection for each request, as on its other ways.

use bollard::errors::Error;
use bollard::{BollardRequest, Docker};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Response, Uri};
use hyper_util::rt::TokioIo;

use super::connect::{API, NEVER};
use crate::engine::tls::Tls;

/// Connects to this daemon. Sends nothing yet.
pub(super) fn connect(tls: &Tls) -> Result<Docker, Error> {
    // The scheme stands for how we speak to the transport.
    let address = format!("http://{}", tls.authority());
    let tls = tls.clone();
    let transport = move |request| send(tls.clone(), request);
    Docker::connect_with_custom_transport(transport, Some(address), NEVER.as_secs(), &API)
}

async fn send(tls: Tls, mut request: BollardRequest) -> Result<Response<Incoming>, Error> {
    let stream = tls.connect().await.map_err(broken)?;
    let unspoken = |err| Error::HyperResponseError { err };
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(unspoken)?;
    let host = HeaderValue::from_str(tls.authority()).map_err(unwritable)?;
    request.headers_mut().insert(HOST, host);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(unwritable)?;
    // It ends with the answer's body, or lives on as what an attach becomes; its error comes with the answer.
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    sender.send_request(request).await.map_err(unspoken)
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    broken(std::io::Error::other(error))
}

fn broken(err: std::io::Error) -> Error {
    Error::IOError { err }
}
