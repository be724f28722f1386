//! Makes the connection to the daemon, and puts right what bollard sends wrongly. Takes the address from
//! its caller, never from the environment.

use std::time::Duration;

use bollard::{BollardRequest, ClientVersion, Docker};
use futures_util::FutureExt;
use http_body_util::{BodyExt, Either, Full};
use hyper::Uri;
use hyper::header::HeaderValue;

use super::{fault, secured};
use crate::engine::tls::Tls;
use crate::engine::{EngineError, Fault};

/// The API version we speak: dockerd 20.10 knows up to 1.41, dockerd 28 from 1.24.
pub(super) const API: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };
pub(super) const API_PREFIX: &str = "/v1.41";
const REGISTRY_AUTH: &str = "x-registry-auth";

/// Every call has its own deadline; bollard's one for all must never be the first to strike.
pub(super) const NEVER: Duration = Duration::from_hours(168);

/// Connects to `unix:///path`, `/path` or `tcp://host:port`, the last by TLS where that is given. Sends
/// nothing yet.
pub(super) fn connect(host: &str, tls: Option<&Tls>) -> Result<Docker, EngineError> {
    let docker = if let Some(tls) = tls {
        secured::connect(tls)
    } else if host.starts_with("unix://") || host.starts_with('/') {
        Docker::connect_with_unix(host, NEVER.as_secs(), &API)
    } else if host.starts_with("tcp://") || host.starts_with("http://") {
        Docker::connect_with_http(host, NEVER.as_secs(), &API)
    } else {
        return Err(unsupported(host));
    };
    docker
        .map(|docker| docker.with_request_modifier(amend))
        .map_err(|error| fault::of("connect to", host, &error))
}

fn unsupported(host: &str) -> EngineError {
    EngineError {
        verb: "connect to",
        object: host.to_owned(),
        fault: Fault::Refused,
        cause: "the engine's address must be unix:///path/of/socket or tcp://host:port".to_owned(),
        retry_after: None,
    }
}

/// bollard 0.21.1 has three faults on the wire that matter here; each is put right before it is sent.
fn amend(request: BollardRequest) -> BollardRequest {
    refuse_duplicate_networks(with_readable_login(with_version(request)))
}

/// Its URL join throws away the version in front of the path, so that a newer daemon would answer with
/// the shapes of its own newest version.
fn with_version(mut request: BollardRequest) -> BollardRequest {
    let uri = request.uri();
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if path.starts_with(API_PREFIX) {
        return request;
    }
    // A valid address stays one with these seven characters in its path.
    if let Ok(versioned) = format!("{scheme}://{authority}{API_PREFIX}{path}").parse::<Uri>() {
        *request.uri_mut() = versioned;
    }
    request
}

/// It encodes credentials in the standard alphabet where the daemon reads the URL-safe one, and takes
/// what it cannot read for no credentials at all: a `?`, `>` or `~` in a password is enough.
fn with_readable_login(mut request: BollardRequest) -> BollardRequest {
    if let Some(value) = request.headers_mut().get_mut(REGISTRY_AUTH) {
        let url_safe: Vec<u8> = value.as_bytes().iter().map(|byte| url_safe(*byte)).collect();
        if let Ok(mut readable) = HeaderValue::from_bytes(&url_safe) {
            readable.set_sensitive(true);
            *value = readable;
        }
    }
    request
}

fn url_safe(byte: u8) -> u8 {
    match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

/// Its network request has no `CheckDuplicate`, without which a daemon before API 1.44 makes a second
/// network of the same name, and then refuses every container on either as ambiguous.
fn refuse_duplicate_networks(request: BollardRequest) -> BollardRequest {
    if !request.uri().path().ends_with("/networks/create") {
        return request;
    }
    let (parts, body) = request.into_parts();
    let body = match body {
        Either::Left(body) => Either::Left(Full::new(check_duplicate(body))),
        stream @ Either::Right(_) => stream,
    };
    BollardRequest::from_parts(parts, body)
}

fn check_duplicate(body: Full<bytes::Bytes>) -> bytes::Bytes {
    // A full body is in memory already: there is nothing to wait for and nothing that can fail.
    let Some(Ok(body)) = body.collect().now_or_never() else {
        return bytes::Bytes::new();
    };
    let body = body.to_bytes();
    match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body) {
        Ok(mut fields) => {
            fields.insert("CheckDuplicate".to_owned(), true.into());
            serde_json::Value::Object(fields).to_string().into()
        }
        Err(_) => body,
    }
}
