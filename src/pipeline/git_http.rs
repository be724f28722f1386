//! Git's smart HTTP protocol, the reading half: `git upload-pack` as a child process for each request.
//! It never writes to the repository.
//!
//! Source: git's gitprotocol-http.

use std::io::Read;
use std::process::Stdio;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::{Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::io::ReaderStream;

use super::server::{Answer, Body, plain};
use super::source::environment;
use crate::world::World;

/// The largest list of wishes that is read, packed or not.
const WISHES: u64 = 64 * 1024 * 1024;

/// A repository that is served.
#[derive(Debug, Clone)]
pub struct GitRepository {
    /// Where it is.
    pub directory: std::path::PathBuf,
    /// What git's processes inherit from.
    pub world: World,
}

impl GitRepository {
    /// `GET info/refs?service=git-upload-pack`: what there is.
    ///
    /// # Errors
    /// When git cannot be started.
    pub async fn advertise(&self, protocol: Option<&str>) -> std::io::Result<Answer> {
        let mut child = self.upload_pack(protocol, &["--advertise-refs"])?;
        drop(child.stdin.take());
        let mut body = b"001e# service=git-upload-pack\n0000".to_vec();
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_end(&mut body).await?;
        }
        let status = child.wait().await?;
        if !status.success() {
            return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "git upload-pack failed"));
        }
        let body =
            http_body_util::Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
        Ok(answer("application/x-git-upload-pack-advertisement", body))
    }

    /// `POST git-upload-pack`: the pack for a list of wishes.
    ///
    /// # Errors
    /// When git cannot be started, or ends before it has read them.
    pub async fn upload(&self, protocol: Option<&str>, wishes: Bytes) -> std::io::Result<Answer> {
        let mut child = self.upload_pack(protocol, &[])?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&wishes).await?;
        }
        let Some(stdout) = child.stdout.take() else {
            return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "git upload-pack has no output"));
        };
        Ok(answer("application/x-git-upload-pack-result", pack(child, stdout)))
    }

    fn upload_pack(&self, protocol: Option<&str>, options: &[&str]) -> std::io::Result<Child> {
        let mut command = Command::new("git");
        command
            .args(["upload-pack", "--stateless-rpc"])
            .args(options)
            .arg(&self.directory)
            .env_clear()
            .envs(environment(&self.world, &self.directory))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(protocol) = protocol {
            command.env("GIT_PROTOCOL", protocol);
        }
        command.spawn()
    }
}

/// The child lives as long as somebody reads its output.
fn pack(child: Child, stdout: ChildStdout) -> Body {
    let stream = ReaderStream::with_capacity(stdout, 64 * 1024).map_ok(move |bytes| {
        let _reading = &child;
        Frame::data(bytes)
    });
    BodyExt::boxed(StreamBody::new(stream))
}

fn answer(kind: &'static str, body: Body) -> Answer {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-cache"));
    response
}

/// Git packs long lists of wishes with gzip.
///
/// # Errors
/// When the bytes are no gzip or too many.
pub fn gunzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).take(WISHES + 1).read_to_end(&mut out)?;
    if out.len() as u64 > WISHES {
        return Err(std::io::Error::other("the request is too large"));
    }
    Ok(Bytes::from(out))
}
