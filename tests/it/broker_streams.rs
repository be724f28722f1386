//! Raw streams through the broker in front of the real daemon, for clients that ask for them by a header and for
//! those that do not: input, its end, and the output after it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::brokered::Brokered;
use crate::support::real::{BUSYBOX, socket};

/// How clients ask for a raw stream: as they do now, and as old ones do, or with the header of Python's library.
const ASKS: [&str; 3] =
    ["Connection: Upgrade\r\nUpgrade: tcp\r\n", "", "Connection: keep-alive\r\n"];

fn docker(brokered: &Brokered, words: &[&str]) -> String {
    let host = format!("unix://{}", brokered.socket().display());
    let output = Command::new("docker").args(["-H", &host]).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A client's raw stream.
struct Stream(BufReader<UnixStream>);

impl Stream {
    /// Sends a request and this input at once; answers the stream.
    fn open(socket: &Path, path: &str, asks: &str, body: &str, input: &[u8]) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\n{asks}{kind}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes(), input].concat()).unwrap();
        Self(BufReader::new(stream))
    }

    /// Reads the head of the answer.
    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "it ends in its head: {head}");
        }
        head
    }

    fn end_input(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// All that comes, without the frames of Docker's two streams.
    fn rest(mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.0.read_to_end(&mut all).unwrap();
        let (mut left, mut plain) = (all.as_slice(), Vec::new());
        while let [_, _, _, _, a, b, c, d, rest @ ..] = left {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let (payload, next) = rest.split_at(length.min(rest.len()));
            plain.extend_from_slice(payload);
            left = next;
        }
        plain
    }
}

fn check_head(head: &str, asks: &str) {
    let expected = if asks.contains("Upgrade") {
        "HTTP/1.1 101 Switching Protocols\r\n"
    } else {
        "HTTP/1.1 200 OK\r\n"
    };
    assert!(head.starts_with(expected), "{head}");
    // Newer daemons say of two streams that they are two.
    let kinds = ["raw", "multiplexed"].map(|kind| format!("application/vnd.docker.{kind}-stream"));
    assert!(kinds.iter().any(|kind| head.to_lowercase().contains(kind)), "{head}");
    let upgrades = head.to_lowercase().contains("upgrade: tcp");
    assert_eq!(upgrades, asks.contains("Upgrade"), "{head}");
    for never in ["content-length", "transfer-encoding"] {
        assert!(!head.to_lowercase().contains(never), "{head}");
    }
}

/// More than any buffer on the way holds.
fn much() -> Vec<u8> {
    (0..500_000u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn an_exec_has_its_input_and_goes_on_after_its_end() {
    let brokered = Brokered::start(&socket(), "bridge");
    docker(&brokered, &["run", "-d", "--name", "web", BUSYBOX, "sleep", "300"]);
    for asks in ASKS {
        let body = r#"{"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,
            "Cmd":["sh","-c","cat; echo after the end"]}"#;
        let mut made =
            Stream::open(&brokered.socket(), "/v1.41/containers/web/exec", "", body, b"");
        let mut answer = String::new();
        made.0.read_to_string(&mut answer).unwrap();
        let id = answer.split("\"Id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let path = format!("/v1.41/exec/{id}/start");
        let body = r#"{"Detach":false,"Tty":false}"#;
        let mut stream = Stream::open(&brokered.socket(), &path, asks, body, b"");
        check_head(&stream.head(), asks);
        let input = much();
        let mut writer = stream.0.get_ref().try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            writer.write_all(&input).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let output = stream.rest();
        writing.join().unwrap();
        assert!(output == [much(), b"after the end\n".to_vec()].concat(), "{} bytes", output.len());
    }
    brokered.clean(&socket());
    assert_eq!(brokered.refused(), Vec::<&str>::new());
}

#[test]
fn an_attach_has_input_that_came_and_ended_before_its_answer() {
    let brokered = Brokered::start(&socket(), "bridge");
    for (number, (asks, input)) in
        ASKS.iter().flat_map(|asks| ["early word\n", ""].map(|input| (asks, input))).enumerate()
    {
        let name = format!("reader{number}");
        docker(
            &brokered,
            &["create", "-i", "--name", &name, BUSYBOX, "sh", "-c", "cat; echo after the end"],
        );
        let path = format!("/v1.41/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1");
        let mut stream = Stream::open(&brokered.socket(), &path, asks, "", input.as_bytes());
        stream.end_input();
        check_head(&stream.head(), asks);
        docker(&brokered, &["start", &name]);
        let output = String::from_utf8(stream.rest()).unwrap();
        assert_eq!(output, format!("{input}after the end\n"));
        docker(&brokered, &["rm", &name]);
    }
    brokered.clean(&socket());
    assert_eq!(brokered.refused(), Vec::<&str>::new());
}

#[test]
fn a_container_that_ends_ends_the_stream_though_the_client_says_nothing() {
    let brokered = Brokered::start(&socket(), "bridge");
    for (number, asks) in ASKS.into_iter().enumerate() {
        let name = format!("teller{number}");
        docker(&brokered, &["create", "--name", &name, BUSYBOX, "echo", "told"]);
        let path = format!("/v1.41/containers/{name}/attach?stream=1&stdout=1&stderr=1");
        let mut stream = Stream::open(&brokered.socket(), &path, asks, "", b"");
        check_head(&stream.head(), asks);
        docker(&brokered, &["start", &name]);
        assert_eq!(stream.rest(), b"told\n");
    }
    brokered.clean(&socket());
}

#[test]
fn an_exec_that_is_refused_or_detached_has_an_ordinary_answer() {
    let brokered = Brokered::start(&socket(), "bridge");
    docker(&brokered, &["run", "-d", "--name", "web", BUSYBOX, "sleep", "300"]);
    for asks in ASKS {
        let path = format!("/v1.41/exec/{}/start", "a".repeat(64));
        let mut stream = Stream::open(&brokered.socket(), &path, asks, r#"{"Detach":false}"#, b"");
        let head = stream.head();
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        let path = "/v1.41/containers/absent/attach?stream=1&stdin=1";
        let mut stream = Stream::open(&brokered.socket(), path, asks, "", b"lost words");
        assert!(stream.head().starts_with("HTTP/1.1 404 "));
    }
    docker(&brokered, &["exec", "-d", "web", "true"]);
    brokered.clean(&socket());
}
