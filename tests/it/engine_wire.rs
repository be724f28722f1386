//! What the real engine sends, and how it reads what comes, where bollard has to be put right or the
//! daemon's interface has a trap.

use std::time::Duration;

use futures_util::StreamExt;
use longshore::engine::{DockerEngine, Engine, Fault, Output, RegistryLogin};
use longshore::plan::container::Labels;
use longshore::secrets::Secret;

use crate::support::fake_docker::{FakeDocker, Reply, over_tcp, short_deadlines};

#[tokio::test]
async fn a_login_reaches_the_daemon_in_the_alphabet_it_reads() {
    let docker = FakeDocker::answering(vec![Reply::Lines(Duration::ZERO, Vec::new())]);
    let login = RegistryLogin {
        registry: "registry.example.com".to_owned(),
        username: "deploy".to_owned(),
        password: Secret::new("~~~???>>>"),
    };
    let engine = docker.engine();
    engine.pull("team/app", Some("linux/arm64"), Some(&login), &mut |_step| ()).await.unwrap();
    let request = docker.requests().concat();
    let (line, head) = request.split_once("\r\n").unwrap();
    // Without a tag the daemon would pull all there are.
    assert_eq!(
        line,
        "POST /v1.41/images/create?fromImage=team%2Fapp%3Alatest&platform=linux%2Farm64 HTTP/1.1"
    );
    let header = "x-registry-auth: ";
    let auth = head.lines().find_map(|line| line.strip_prefix(header)).unwrap();
    // base64url of {"username":"deploy","password":"~~~???>>>","auth":null,...}
    assert!(auth.contains("fn5-Pz8_Pj4-"), "{auth}");
    assert!(!auth.contains(['+', '/']), "{auth}");
}

#[tokio::test]
async fn a_network_is_asked_for_with_a_check_for_its_name() {
    let docker = FakeDocker::answering(vec![
        Reply::Json(201, r#"{"Id": "ab", "Warning": ""}"#),
        Reply::Json(409, r#"{"message": "network with name slot already exists"}"#),
        Reply::Json(500, r#"{"message": "no subnet left"}"#),
    ]);
    let engine = docker.engine();
    let labels: Labels = [("longshore.slot".to_owned(), "1".to_owned())].into();
    engine.create_network("slot", None, &labels).await.unwrap();
    engine.create_network("slot", Some("10.9.0.0/26"), &labels).await.unwrap();
    let error = engine.create_network("slot", None, &labels).await.unwrap_err();
    assert_eq!(error.fault, Fault::Daemon);
    let requests = docker.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1.41/networks/create HTTP/1.1\r\n"), "{head}");
    assert_eq!(
        body,
        r#"{"CheckDuplicate":true,"Driver":"bridge","Labels":{"longshore.slot":"1"},"Name":"slot"}"#
    );
}

#[tokio::test]
async fn a_name_that_would_make_another_request_is_never_sent() {
    let docker = FakeDocker::answering(Vec::new());
    let engine = docker.engine();
    for name in ["a?force=1", "../containers/x", "a/./b", "a//b", "", "a b", "a#b", "a%2fb", "\n"] {
        let image = engine.image(name).await.unwrap_err();
        let removal = engine.remove_image(name).await.unwrap_err();
        assert_eq!((image.fault, removal.fault), (Fault::Refused, Fault::Refused), "{name:?}");
    }
    assert_eq!(docker.requests(), [""; 0]);
}

#[tokio::test]
async fn all_containers_are_asked_for_and_only_images_that_are_not_intermediate() {
    let docker = FakeDocker::answering(vec![Reply::Json(200, "[]"); 3]);
    let engine = docker.engine();
    engine.containers(None).await.unwrap();
    engine.containers(Some("longshore.job=1")).await.unwrap();
    engine.images().await.unwrap();
    let lines: Vec<String> = docker
        .requests()
        .iter()
        .map(|request| request.lines().next().unwrap().to_owned())
        .collect();
    insta::assert_yaml_snapshot!(lines, @r"
    - GET /v1.41/containers/json?all=true&size=false HTTP/1.1
    - GET /v1.41/containers/json?all=true&size=false&filters=%7B%22label%22%3A%5B%22longshore.job%3D1%22%5D%7D HTTP/1.1
    - GET /v1.41/images/json?all=false&shared-size=false&digests=false&manifests=false HTTP/1.1
    ");
}

#[tokio::test]
async fn a_daemon_over_tcp_is_asked_the_same() {
    let (host, requests) = over_tcp(Reply::Json(404, r#"{"message": "No such container"}"#)).await;
    let engine = DockerEngine::new(&host, short_deadlines()).unwrap();
    assert_eq!(engine.inspect("job").await.unwrap(), None);
    let requests = requests.await;
    assert!(requests[0].starts_with("GET /v1.41/containers/job/json HTTP/1.1\r\n"), "{requests:?}");
    // The server has served its one request and is gone.
    let error = engine.inspect("job").await.unwrap_err();
    assert_eq!(error.fault, Fault::Unreachable);
    assert!(error.cause.starts_with("nobody listens there"), "{error}");
}

#[tokio::test]
async fn attached_output_comes_by_stream_and_what_has_no_frame_is_standard_output() {
    let upgraded = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\
                    \u{1}\0\0\0\0\0\0\u{2}hi\u{2}\0\0\0\0\0\0\u{3}errplain";
    let docker = FakeDocker::answering(vec![Reply::Raw(upgraded)]);
    let attached = docker.engine().attach("job").await.unwrap();
    let heard: Vec<Output> = attached.output.map(Result::unwrap).collect().await;
    let expected =
        [Output::Stdout("hi".into()), Output::Stderr("err".into()), Output::Stdout("plain".into())];
    assert_eq!(heard, expected);
    let query = "?logs=false&stream=true&stdin=true&stdout=true&stderr=true";
    let asked = docker.requests().concat();
    assert!(
        asked.starts_with(&format!("POST /v1.41/containers/job/attach{query} HTTP/1.1\r\n")),
        "{asked}"
    );
}
