//! What counts as pushed, whatever a daemon answers: the broker in front of a daemon that says what it is
//! told to.

use std::time::{Duration, Instant};

use longshore::broker::record::ImageRecord;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::support::brokered::Brokered;
use crate::support::fake_docker::{FakeDocker, Reply};

const PUSH: &str = "POST /v1.41/images/registry.longshore.test:5443/team/app/push?tag=test";
/// `{"username":"somebody","password":"p"}`
const CLIENTS: &str = "eyJ1c2VybmFtZSI6InNvbWVib2R5IiwicGFzc3dvcmQiOiJwIn0=";
const WORKING: &str = r#"{"status":"Pushed","progressDetail":{},"id":"5f70bf18a086"}"#;
const TOLD: &str = r#"{"status":"test: digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa size: 528"}"#;
const DONE: &str = r#"{"progressDetail":{},"aux":{"Tag":"test","Digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","Size":528}}"#;
const FAILED: &str = r#"{"errorDetail":{"message":"received unexpected HTTP status: 503 Service Unavailable"},"error":"received unexpected HTTP status: 503 Service Unavailable"}"#;

/// What the client hears, and what is written down.
struct Pushed {
    answer: String,
    records: Vec<ImageRecord>,
    lines: Vec<String>,
}

async fn push(reply: Reply) -> Pushed {
    let daemon = FakeDocker::answering(vec![reply]);
    let brokered = Brokered::speaking(41, &daemon.socket(), "bridge", |_, _| {});
    let mut stream = UnixStream::connect(brokered.socket()).await.unwrap();
    let head =
        format!("HTTP/1.1\r\nHost: d\r\nX-Registry-Auth: {CLIENTS}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{PUSH} {head}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _cut = stream.read_to_end(&mut answer).await;
    // The word is on its way once the answer has ended.
    let deadline = Instant::now() + Duration::from_millis(300);
    while brokered.records().is_empty() && brokered.lines().is_empty() && Instant::now() < deadline
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let sent = daemon.requests().concat().to_lowercase();
    let path = "post /v1.41/images/registry.longshore.test:5443/team/app/push?tag=test";
    assert!(sent.starts_with(path), "{sent}");
    // Docker's daemon wants the header, and gets nobody's.
    assert!(sent.contains("x-registry-auth: e30=\r\n"), "{sent}");
    assert!(!sent.contains(&CLIENTS.to_lowercase()), "{sent}");
    Pushed {
        answer: String::from_utf8_lossy(&answer).into_owned(),
        records: brokered.records(),
        lines: brokered.lines(),
    }
}

fn lines(lines: &[&'static str]) -> Reply {
    Reply::Lines(Duration::ZERO, lines.to_vec())
}

#[tokio::test]
async fn a_push_that_tells_its_digest_is_done() {
    let pushed = push(lines(&[WORKING, TOLD, DONE])).await;
    let [record] = pushed.records.as_slice() else { panic!("{:?}", pushed.records) };
    assert_eq!(record.references, ["registry.longshore.test:5443/team/app:test"]);
    let digest = format!("registry.longshore.test:5443/team/app@sha256:{}", "a".repeat(64));
    assert_eq!(record.digest.as_deref(), Some(digest.as_str()));
    assert!(!pushed.answer.contains("error"), "{}", pushed.answer);
    assert_eq!(pushed.lines, Vec::<String>::new());
}

#[tokio::test]
async fn an_error_within_an_answer_of_200_is_no_push_and_is_told() {
    for documents in [vec![FAILED], vec![WORKING, FAILED], vec![WORKING, TOLD, DONE, FAILED]] {
        let pushed = push(lines(&documents)).await;
        assert!(pushed.answer.starts_with("HTTP/1.1 200 "), "{}", pushed.answer);
        assert!(pushed.answer.contains("503 Service Unavailable"), "{}", pushed.answer);
        assert_eq!(pushed.records, [], "{documents:?}");
        let [line] = pushed.lines.as_slice() else { panic!("{:?}", pushed.lines) };
        assert!(line.contains("was not pushed") && line.contains("is it up?"), "{line}");
    }
}

#[tokio::test]
async fn a_push_that_ends_without_a_digest_fails_at_the_client_too() {
    for reply in [lines(&[WORKING]), lines(&[])] {
        let pushed = push(reply).await;
        assert!(pushed.answer.contains("it does not count as pushed"), "{}", pushed.answer);
        assert!(pushed.answer.contains("\"errorDetail\""), "{}", pushed.answer);
        assert_eq!(pushed.records, []);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_digest_is_no_push_and_no_good_end() {
    let pushed = push(Reply::Cut(vec![WORKING])).await;
    assert_eq!(pushed.records, []);
    assert!(!pushed.answer.ends_with("0\r\n\r\n"), "{}", pushed.answer);
}

#[tokio::test]
async fn what_the_registry_has_counts_though_the_daemon_breaks_off_after_it() {
    let pushed = push(Reply::Cut(vec![WORKING, TOLD, DONE])).await;
    assert_eq!(pushed.records.len(), 1);
}
