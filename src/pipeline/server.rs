//! The part of GitLab's HTTP that jobs speak to: sources by git's smart protocol, and the artifact API.
//! Every request carries the token of a running job.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
    WWW_AUTHENTICATE,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

use super::artifact_store::ArtifactStore;
use super::git_http::{GitRepository, gunzip};
use super::multipart;

/// A body that is sent.
pub type Body = BoxBody<Bytes, io::Error>;
/// What a request is answered with.
pub type Answer = Response<Body>;

/// The largest artifact that is taken: it is held in memory while it arrives.
const UPLOAD_LIMIT: usize = 1024 * 1024 * 1024;

/// What is served.
#[derive(Debug)]
pub struct Served {
    /// Artifacts, and the tokens that count.
    pub store: Arc<ArtifactStore>,
    /// The repository.
    pub repository: GitRepository,
    /// `group/name`, below which the repository is found.
    pub project: String,
}

/// Listens on a port that the kernel chooses.
///
/// # Errors
/// When the address is none of this host's.
pub async fn bind(address: IpAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((address, 0)).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, served: Arc<Served>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, or the peer is gone: neither ends the pipeline.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &served));
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that went away has no one to tell.
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, served: &Served) -> io::Result<Answer> {
    let path = request.uri().path().to_owned();
    let git = path.strip_prefix('/').and_then(|rest| rest.strip_prefix(served.project.as_str()));
    if let Some(rest) = git.and_then(|rest| rest.strip_prefix(".git/")) {
        return sources(request, served, rest).await;
    }
    let job = path.strip_prefix("/api/v4/jobs/").and_then(|rest| rest.strip_suffix("/artifacts"));
    match job.and_then(|text| text.parse().ok()) {
        Some(job) => artifacts(request, served, job).await,
        None => Ok(plain(StatusCode::NOT_FOUND, "404 Not Found")),
    }
}

async fn sources(request: Request<Incoming>, served: &Served, rest: &str) -> io::Result<Answer> {
    if served.store.holder(&basic_password(&request)).is_none() {
        let mut refused =
            plain(StatusCode::UNAUTHORIZED, "401 Unauthorized: no running job has this token");
        refused
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"longshore\""));
        return Ok(refused);
    }
    let protocol = header(&request, &HeaderName::from_static("git-protocol")).map(str::to_owned);
    let repository = &served.repository;
    match (request.method(), rest, request.uri().query()) {
        (&Method::GET, "info/refs", Some("service=git-upload-pack")) => {
            repository.advertise(protocol.as_deref()).await
        }
        (&Method::POST, "git-upload-pack", _) => {
            let packed = header(&request, &CONTENT_ENCODING) == Some("gzip");
            let body = whole(request).await?;
            let wishes = if packed { gunzip(&body)? } else { body };
            repository.upload(protocol.as_deref(), wishes).await
        }
        (_, "info/refs" | "git-receive-pack", _) => {
            Ok(plain(StatusCode::FORBIDDEN, "403 Forbidden: sources can be fetched, not pushed"))
        }
        _ => Ok(plain(StatusCode::NOT_FOUND, "404 Not Found")),
    }
}

async fn artifacts(request: Request<Incoming>, served: &Served, job: u64) -> io::Result<Answer> {
    let token = header(&request, &HeaderName::from_static("job-token")).unwrap_or_default();
    let Some(holder) = served.store.holder(token) else {
        return Ok(plain(StatusCode::FORBIDDEN, "403 Forbidden: no running job has this token"));
    };
    match *request.method() {
        Method::GET => download(served, job).await,
        Method::POST if holder == job => upload(request, served, job).await,
        Method::POST => {
            Ok(plain(StatusCode::FORBIDDEN, "403 Forbidden: this is another job's token"))
        }
        _ => Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed")),
    }
}

async fn download(served: &Served, job: u64) -> io::Result<Answer> {
    let Some((path, size)) = served.store.find(job, "archive") else {
        return Ok(plain(StatusCode::NOT_FOUND, "404 Not Found: this job left no archive"));
    };
    let file = ReaderStream::new(tokio::fs::File::open(path).await?).map_ok(Frame::data);
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(file)));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    Ok(response)
}

async fn upload(request: Request<Incoming>, served: &Served, job: u64) -> io::Result<Answer> {
    let query = query(request.uri().query().unwrap_or_default());
    let kind = query.get("artifact_type").cloned().unwrap_or_else(|| "archive".to_owned());
    let content_type = header(&request, &CONTENT_TYPE).unwrap_or_default().to_owned();
    let Ok(body) = Limited::new(request.into_body(), UPLOAD_LIMIT).collect().await else {
        return Ok(plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "413 the artifact is cut short or larger than 1 GiB",
        ));
    };
    let body = body.to_bytes();
    let range = match multipart::field(&content_type, &body, "file") {
        Ok(range) => range,
        Err(error) => {
            return Ok(plain(StatusCode::BAD_REQUEST, &format!("400 Bad Request: {error}")));
        }
    };
    served.store.keep(job, &kind, &body[range])?;
    // GitLab reads this report at once, and the job fails where it cannot be read.
    if kind == "dotenv"
        && let Err(why) = served.store.dotenv(job)
    {
        served.store.discard(job, &kind);
        return Ok(plain(StatusCode::BAD_REQUEST, &format!("400 Bad Request: {why}")));
    }
    Ok(plain(StatusCode::CREATED, "201 Created"))
}

async fn whole(request: Request<Incoming>) -> io::Result<Bytes> {
    let body = Limited::new(request.into_body(), UPLOAD_LIMIT);
    body.collect().await.map(http_body_util::Collected::to_bytes).map_err(io::Error::other)
}

fn header<'a>(request: &'a Request<Incoming>, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The password of basic authentication; empty where there is none.
fn basic_password(request: &Request<Incoming>) -> String {
    let credentials =
        header(request, &AUTHORIZATION).and_then(|value| value.strip_prefix("Basic "));
    let decoded =
        credentials.and_then(|text| BASE64_STANDARD.decode(text.trim()).ok()).unwrap_or_default();
    let text = String::from_utf8(decoded).unwrap_or_default();
    text.split_once(':').map(|(_, password)| password.to_owned()).unwrap_or_default()
}

/// Names and values of a query. The ones that are asked for here hold no escapes.
fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A short answer in words.
pub fn plain(status: StatusCode, text: &str) -> Answer {
    let body = Full::new(Bytes::from(format!("{text}\n"))).map_err(|never| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
