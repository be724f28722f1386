//! One attack, and how it is sent: bytes over a socket, so that no client stands between.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Stands in all that the other job has.
pub(super) const CANARY: &str = "canary-9b1f";

pub(super) const IMAGE: &str = "longshore-test/busybox:1";

pub(super) const MADE: &[u16] = &[201];
pub(super) const DONE: &[u16] = &[200, 201, 204, 304];

/// One attack: its number in the list and a name, what is sent, statuses of the bare daemon that show it to work.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) body: &'static str,
    pub(super) works: &'static [u16],
}

pub(super) const fn attack(
    name: &'static str,
    request: (&'static str, &'static str, &'static str),
    works: &'static [u16],
) -> Attack {
    let (method, target, body) = request;
    Attack { name, method, target, body, works }
}

/// Until an answer begins.
const BEGINS: Duration = Duration::from_mins(1);

/// Until an answer that does not end is taken for the whole of it.
const QUIET: Duration = Duration::from_secs(2);

/// One request with everything a client sends.
pub(super) fn request(method: &str, target: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let version = if target.starts_with("/v1.") { "" } else { "/v1.41" };
    format!(
        "{method} {version}{target} HTTP/1.1\r\nHost: docker\r\nX-Registry-Auth: e30=\r\n{kind}Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(super) fn send(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(BEGINS)).unwrap();
    // A refused client may be hung up on while it still sends.
    let _ = stream.write_all(bytes);
    let mut answer = vec![0; 1 << 16];
    let first = stream.read(&mut answer).unwrap_or_default();
    answer.truncate(first);
    // A stream that goes on is cut: its head is the answer.
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The body; of a chunked one, its first chunk.
pub(super) fn body_of(answer: &str) -> &str {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    if !answer.to_lowercase().contains("transfer-encoding: chunked") {
        return body;
    }
    body.split_once("\r\n").map_or("", |(_, rest)| rest.split("\r\n").next().unwrap_or_default())
}

pub(super) fn head(answer: &str) -> String {
    answer.chars().take(600).collect()
}
