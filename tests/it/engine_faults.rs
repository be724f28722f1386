//! The real engine against a daemon that misbehaves: each fault has its class within its deadline, and a
//! cause that a person can act on. And what goes over the wire where bollard has to be put right.

use std::time::{Duration, Instant};

use longshore::engine::{
    Deadlines, DockerEngine, Engine, EngineError, Fault, PullProgress, RegistryLogin, Removed,
};
use longshore::plan::container::Labels;
use longshore::secrets::Secret;

use crate::support::fake_docker::{FakeDocker, Reply};

const IMAGE: &str = "registry.example.com/team/app:1";
/// Long enough that only a deadline that is never kept lets a test fail.
const AT_ONCE: Duration = Duration::from_secs(5);

fn deadlines() -> Deadlines {
    let short = Duration::from_millis(200);
    Deadlines {
        control: short,
        work: short,
        pull_idle: short,
        pull_total: Duration::from_millis(600),
    }
}

fn engine(docker: &FakeDocker) -> DockerEngine {
    DockerEngine::new(&docker.host(), deadlines()).unwrap()
}

/// An inspect's error with a daemon that replies like this, which must come at once.
async fn inspect(reply: Reply) -> EngineError {
    let docker = FakeDocker::answering(vec![reply]);
    let begin = Instant::now();
    let answer = engine(&docker).inspect("job").await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    answer.expect_err("an error")
}

/// A pull's outcome and its progress with a daemon that replies like this.
async fn pull(reply: Reply) -> (Result<(), EngineError>, Vec<PullProgress>) {
    let docker = FakeDocker::answering(vec![reply]);
    let mut progress = Vec::new();
    let begin = Instant::now();
    let mut note = |step| progress.push(step);
    let answer = engine(&docker).pull(IMAGE, None, None, &mut note).await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    (answer, progress)
}

fn told(error: &EngineError) -> (Fault, String) {
    (error.fault, error.to_string())
}

#[tokio::test]
async fn a_missing_socket_is_told_as_such() {
    let error = DockerEngine::new("unix:///nowhere/docker.sock", deadlines()).unwrap_err();
    let expected = "connect to unix:///nowhere/docker.sock: there is no socket at \
                    /nowhere/docker.sock; is the Docker daemon running?";
    assert_eq!(told(&error), (Fault::NoSocket, expected.to_owned()));
}

#[tokio::test]
async fn a_socket_that_goes_away_later_is_told_as_missing_too() {
    let docker = FakeDocker::answering(Vec::new());
    let engine = engine(&docker);
    std::fs::remove_file(docker.socket()).unwrap();
    let error = engine.ping().await.unwrap_err();
    let expected = format!(
        "reach the Docker daemon at {}: there is no socket; is the Docker daemon running? \
         (No such file or directory (os error 2))",
        docker.host()
    );
    assert_eq!(told(&error), (Fault::NoSocket, expected));
}

#[tokio::test]
async fn a_stale_socket_is_told_as_refused() {
    let docker = FakeDocker::answering(Vec::new());
    let engine = engine(&docker);
    std::fs::remove_file(docker.socket()).unwrap();
    // The file stays when its listener is gone, as after a daemon that was killed.
    drop(std::os::unix::net::UnixListener::bind(docker.socket()).unwrap());
    let error = engine.inspect("job").await.unwrap_err();
    let expected = "inspect container job: nobody listens there; is the Docker daemon running? \
                    (Connection refused (os error 111))";
    assert_eq!(told(&error), (Fault::Unreachable, expected.to_owned()));
}

#[tokio::test]
async fn an_address_of_another_kind_is_refused() {
    let error = DockerEngine::new("ssh://host", deadlines()).unwrap_err();
    assert_eq!(error.fault, Fault::Refused);
    assert!(
        error
            .cause
            .contains("unix:///path/of/socket or tcp://host:port")
    );
}

#[tokio::test]
async fn a_hung_daemon_meets_the_deadline() {
    let error = inspect(Reply::Hang).await;
    let expected = "inspect container job: no answer from the daemon within 200ms";
    assert_eq!(told(&error), (Fault::Deadline, expected.to_owned()));
}

#[tokio::test]
async fn a_daemon_that_hangs_in_the_middle_of_its_answer_meets_the_deadline() {
    let error = inspect(Reply::Stall(vec![r#"{"Id": "#])).await;
    assert_eq!(error.fault, Fault::Deadline);
}

#[tokio::test]
async fn an_attach_that_gets_no_head_meets_the_deadline() {
    let docker = FakeDocker::answering(vec![Reply::Hang]);
    let error = engine(&docker).attach("job").await.err().unwrap();
    let expected = "attach to container job: no answer from the daemon within 200ms";
    assert_eq!(told(&error), (Fault::Deadline, expected.to_owned()));
}

#[tokio::test]
async fn a_daemon_that_hangs_up_is_unreachable() {
    let expected = "inspect container job: the daemon hung up before it answered";
    let error = inspect(Reply::Raw("")).await;
    assert_eq!(told(&error), (Fault::Unreachable, expected.to_owned()));
    let half = inspect(Reply::Cut(vec![r#"{"Id": "#])).await;
    assert_eq!(half.fault, Fault::Unreachable);
}

#[tokio::test]
async fn what_is_not_http_is_the_daemons_fault() {
    let error = inspect(Reply::Raw("SSH-2.0-OpenSSH_9.2\r\n\r\n")).await;
    assert_eq!(error.fault, Fault::Daemon);
    assert!(
        error
            .cause
            .starts_with("what answers there does not speak HTTP: "),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_not_the_expected_json_is_the_daemons_fault() {
    for body in ["", "[1, 2]", "no json", r#"{"Id": 5}"#] {
        let error = inspect(Reply::Json(200, body)).await;
        assert_eq!(error.fault, Fault::Daemon, "{error}");
        assert!(
            error
                .cause
                .starts_with("the daemon's answer makes no sense: "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_failing_daemon_is_quoted() {
    let error = inspect(Reply::Json(
        500,
        r#"{"message": "open /var/lib: read-only"}"#,
    ))
    .await;
    let expected = "inspect container job: open /var/lib: read-only";
    assert_eq!(told(&error), (Fault::Daemon, expected.to_owned()));
    let silent = inspect(Reply::Json(500, "")).await;
    assert_eq!(
        silent.cause,
        "the daemon answered status 500 without a word"
    );
}

#[tokio::test]
async fn a_daemon_older_than_our_api_refuses() {
    let message =
        r#"{"message": "client version 1.41 is too new. Maximum supported API version is 1.40"}"#;
    let docker = FakeDocker::answering(vec![Reply::Json(400, message)]);
    let error = engine(&docker).ping().await.unwrap_err();
    assert_eq!(error.fault, Fault::Refused);
}

#[tokio::test]
async fn a_removal_that_another_began_counts_as_done_and_any_other_conflict_does_not() {
    let busy = r#"{"message": "removal of container job is already in progress"}"#;
    let other = r#"{"message": "You cannot remove a paused container job."}"#;
    let docker = FakeDocker::answering(vec![Reply::Json(409, busy), Reply::Json(409, other)]);
    let engine = engine(&docker);
    assert_eq!(engine.remove_container("job").await.unwrap(), Removed::Gone);
    let error = engine.remove_container("job").await.unwrap_err();
    assert_eq!(error.fault, Fault::Conflict);
    let asked = docker.requests().concat();
    assert_eq!(
        asked
            .matches("DELETE /v1.41/containers/job?v=true&force=true")
            .count(),
        2,
        "{asked}"
    );
}

#[tokio::test]
async fn a_pull_tells_its_steps_and_ends_well() {
    let lines = vec![
        r#"{"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "ab"}"#,
        r#"{"status": "Status: Downloaded newer image"}"#,
    ];
    let (answer, progress) = pull(Reply::Lines(Duration::from_millis(120), lines)).await;
    // Each pause is shorter than the idle deadline, all of them together are longer.
    answer.unwrap();
    let step = |layer: &str, status: &str, bytes| PullProgress {
        layer: layer.to_owned(),
        status: status.to_owned(),
        bytes,
    };
    let expected = [
        step("ab", "Downloading", Some((1, 2))),
        step("", "Status: Downloaded newer image", None),
    ];
    assert_eq!(progress, expected);
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_pull_that_began_well_is_an_error() {
    let lines = vec![
        r#"{"status": "Pulling from team/app", "id": "1"}"#,
        r#"{"errorDetail": {"message": "toomanyrequests: retry-after: 2s"}, "error": "toomanyrequests"}"#,
    ];
    let error = pull(Reply::Lines(Duration::ZERO, lines))
        .await
        .0
        .unwrap_err();
    let expected = format!("pull image {IMAGE}: toomanyrequests: retry-after: 2s");
    assert_eq!(told(&error), (Fault::Transient, expected));
    assert_eq!(error.retry_after, Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn a_wordless_error_in_a_pull_still_tells_a_cause() {
    let lines = vec![r#"{"errorDetail": {}, "error": ""}"#];
    let error = pull(Reply::Lines(Duration::ZERO, lines))
        .await
        .0
        .unwrap_err();
    assert_eq!(error.cause, "the daemon gave up the pull without a word");
}

#[tokio::test]
async fn a_pull_cut_off_is_unreachable_and_one_that_stalls_meets_the_idle_deadline() {
    let lines = vec![r#"{"status": "Pulling from team/app", "id": "1"}"#];
    let cut = pull(Reply::Cut(lines.clone())).await.0.unwrap_err();
    assert_eq!(cut.fault, Fault::Unreachable, "{cut}");
    let stalled = pull(Reply::Stall(lines)).await.0.unwrap_err();
    let expected = format!("pull image {IMAGE}: no progress within 200ms");
    assert_eq!(told(&stalled), (Fault::Deadline, expected));
    let hung = pull(Reply::Hang).await.0.unwrap_err();
    assert_eq!(hung.fault, Fault::Deadline);
}

#[tokio::test]
async fn a_pull_that_goes_on_for_ever_meets_its_total_deadline() {
    let lines = vec![r#"{"status": "Downloading", "id": "1"}"#; 1000];
    let (answer, progress) = pull(Reply::Lines(Duration::from_millis(20), lines)).await;
    let expected = format!("pull image {IMAGE}: not done within 600ms");
    assert_eq!(told(&answer.unwrap_err()), (Fault::Deadline, expected));
    assert!(progress.len() > 5, "{progress:?}");
}

#[tokio::test]
async fn a_refused_pull_has_the_registrys_class() {
    let denied = r#"{"message": "pull access denied for team/app, repository does not exist or may require 'docker login': denied"}"#;
    let error = pull(Reply::Json(404, denied)).await.0.unwrap_err();
    assert_eq!(error.fault, Fault::Denied);
    let unknown = r#"{"message": "manifest for registry.example.com/team/app:1 not found"}"#;
    let error = pull(Reply::Json(404, unknown)).await.0.unwrap_err();
    assert_eq!(error.fault, Fault::NoSuchImage);
}

#[tokio::test]
async fn a_login_reaches_the_daemon_in_the_alphabet_it_reads() {
    let docker = FakeDocker::answering(vec![Reply::Lines(Duration::ZERO, Vec::new())]);
    let login = RegistryLogin {
        registry: "registry.example.com".to_owned(),
        username: "deploy".to_owned(),
        password: Secret::new("~~~???>>>"),
    };
    let engine = engine(&docker);
    engine
        .pull(
            "team/app",
            Some("linux/arm64"),
            Some(&login),
            &mut |_step| (),
        )
        .await
        .unwrap();
    let request = docker.requests().concat();
    let (line, head) = request.split_once("\r\n").unwrap();
    // Without a tag the daemon would pull all there are.
    assert_eq!(
        line,
        "POST /v1.41/images/create?fromImage=team%2Fapp%3Alatest&platform=linux%2Farm64 HTTP/1.1"
    );
    let header = "x-registry-auth: ";
    let auth = head
        .lines()
        .find_map(|line| line.strip_prefix(header))
        .unwrap();
    // base64url of {"username":"deploy","password":"~~~???>>>","auth":null,...}
    assert!(auth.contains("fn5-Pz8_Pj4-"), "{auth}");
    assert!(!auth.contains(['+', '/']), "{auth}");
}

#[tokio::test]
async fn a_network_is_asked_for_with_a_check_for_its_name() {
    let docker = FakeDocker::answering(vec![
        Reply::Json(201, r#"{"Id": "ab", "Warning": ""}"#),
        Reply::Json(
            409,
            r#"{"message": "network with name slot already exists"}"#,
        ),
        Reply::Json(500, r#"{"message": "no subnet left"}"#),
    ]);
    let engine = engine(&docker);
    let labels: Labels = [("longshore.slot".to_owned(), "1".to_owned())].into();
    engine.create_network("slot", &labels).await.unwrap();
    engine.create_network("slot", &labels).await.unwrap();
    let error = engine.create_network("slot", &labels).await.unwrap_err();
    assert_eq!(error.fault, Fault::Daemon);
    let requests = docker.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /v1.41/networks/create HTTP/1.1\r\n"),
        "{head}"
    );
    assert_eq!(
        body,
        r#"{"CheckDuplicate":true,"Driver":"bridge","Labels":{"longshore.slot":"1"},"Name":"slot"}"#
    );
}

#[tokio::test]
async fn a_name_that_would_make_another_request_is_never_sent() {
    let docker = FakeDocker::answering(Vec::new());
    let engine = engine(&docker);
    for name in [
        "a?force=1",
        "../containers/x",
        "a/./b",
        "a//b",
        "",
        "a b",
        "a#b",
        "a%2fb",
        "\n",
    ] {
        let image = engine.image(name).await.unwrap_err();
        let removal = engine.remove_image(name).await.unwrap_err();
        assert_eq!(
            (image.fault, removal.fault),
            (Fault::Refused, Fault::Refused),
            "{name:?}"
        );
    }
    assert_eq!(docker.requests(), [""; 0]);
}

#[tokio::test]
async fn all_containers_are_asked_for_and_only_images_that_are_not_intermediate() {
    let docker = FakeDocker::answering(vec![Reply::Json(200, "[]"); 3]);
    let engine = engine(&docker);
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
