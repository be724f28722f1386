//! What is written to the daemon, and how one that is away is told from one that says no.

use super::*;

fn outgoing() -> Outgoing {
    Outgoing {
        api: Some(41),
        query: vec![("name", "a b&c=d%/ä\n".to_owned()), ("q", String::new())],
        body: OutBody::Json(b"{}".to_vec()),
        ..Outgoing::plain(Method::Post, "/containers/create".to_owned())
    }
}

#[test]
fn a_request_is_written_from_its_parts_alone() {
    let request = write(&outgoing(), None, None).unwrap();
    assert_eq!(request.uri(), "/v1.41/containers/create?name=a%20b%26c%3Dd%25%2F%C3%A4%0A&q=");
    let headers: Vec<_> = request.headers().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["host", "content-type"]);
    let hijack = Outgoing { answer: Answer::Hijack, body: OutBody::None, ..outgoing() };
    let request = write(&hijack, Some(&HeaderValue::from_static("x")), None).unwrap();
    let headers: Vec<_> = request.headers().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["host", "connection", "upgrade", "x-registry-auth"]);
}

#[test]
fn addresses_are_those_of_the_settings() {
    assert_eq!(
        Address::read("unix:///run/x.sock", None),
        Some(Address::Unix("/run/x.sock".into()))
    );
    assert_eq!(Address::read("tcp://h:1/", None), Some(Address::Tcp("h:1".to_owned())));
    for wrong in ["unix://x", "http://h:1", "tcp://", "/run/x.sock", "ssh://h"] {
        assert_eq!(Address::read(wrong, None), None, "{wrong}");
    }
}

#[tokio::test]
async fn a_daemon_that_is_away_is_told_from_one_that_says_no() {
    let directory = tempfile::tempdir().unwrap();
    let away = Address::Unix(directory.path().join("none"));
    let answer = away.send(&outgoing(), None, None).await;
    assert!(matches!(answer, Err(ForwardError::Unreachable { .. })));
}
