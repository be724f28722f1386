//! The broker's transport in front of the real daemon: what is no plain request is refused before anything
//! of it is read, and one connection carries one request.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::support::brokered::Brokered;
use crate::support::real::socket;

/// Sends these bytes and reads to the end of the answer.
fn say(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn heads_that_can_be_read_in_two_ways_are_refused_and_closed() {
    let brokered = Brokered::start(&socket(), "bridge");
    for (head, expected) in [
        ("GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n", "200"),
        ("GET http://evil/_ping HTTP/1.1\r\n\r\n", "400"),
        ("GET /_ping HTTP/1.0\r\n\r\n", "400"),
        (
            "POST /containers/create HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            "400",
        ),
        (
            "POST /containers/create HTTP/1.1\r\nContent-Length: 2\r\n\
             Transfer-Encoding: chunked\r\n\r\n{}",
            "400",
        ),
        ("GET /_ping HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n", "400"),
        ("GET /_ping HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "403"),
        ("POST /grpc HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "403"),
        ("POST /session HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "403"),
        ("PATCH /_ping HTTP/1.1\r\n\r\n", "405"),
        ("GET /%63ontainers/json HTTP/1.1\r\n\r\n", "400"),
        ("GET /v1.41/containers/x/../json HTTP/1.1\r\n\r\n", "400"),
        ("GET /v1.12/containers/json HTTP/1.1\r\n\r\n", "400"),
    ] {
        let answer = say(&brokered.socket(), head.as_bytes());
        assert_eq!(status(&answer), expected, "{head}\n{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    }
    let long = format!("GET /_ping HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(17 << 10));
    assert_eq!(status(&say(&brokered.socket(), long.as_bytes())), "431");
}

#[test]
fn a_second_request_on_a_connection_is_never_read() {
    let brokered = Brokered::start(&socket(), "bridge");
    let two = "GET /_ping HTTP/1.1\r\n\r\nGET /version HTTP/1.1\r\n\r\n";
    let answer = say(&brokered.socket(), two.as_bytes());
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let hidden = "POST /containers/prune HTTP/1.1\r\nContent-Length: 30\r\n\r\n\
                  GET /version HTTP/1.1\r\nA: b\r\n\r\n";
    let answer = say(&brokered.socket(), hidden.as_bytes());
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[test]
fn a_client_that_goes_away_or_says_nothing_is_nobodys_trouble() {
    let brokered = Brokered::start(&socket(), "bridge");
    for part in ["", "GET /_pi", "POST /containers/create HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"]
    {
        let mut stream = UnixStream::connect(brokered.socket()).unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    assert_eq!(status(&say(&brokered.socket(), b"GET /_ping HTTP/1.1\r\n\r\n")), "200");
}
