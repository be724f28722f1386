//! The real engine against a daemon that misbehaves: each fault has its class within its deadline, and a
//! cause that a person can act on.

use std::time::{Duration, Instant};

use longshore::engine::{
    Deadlines, DockerEngine, Engine, EngineError, Fault, PullProgress, Removed,
};
use longshore::plan::container::Labels;

use crate::support::fake_docker::{FakeDocker, Reply, short_deadlines};

const IMAGE: &str = "registry.example.com/team/app:1";
/// Long enough that only a deadline that is never kept lets a test fail.
const AT_ONCE: Duration = Duration::from_secs(5);

/// An inspect's error with a daemon that replies like this, which must come at once.
async fn inspect(reply: Reply) -> EngineError {
    let docker = FakeDocker::answering(vec![reply]);
    let begin = Instant::now();
    let answer = docker.engine().inspect("job").await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    answer.expect_err("an error")
}

/// A pull's outcome and its progress with a daemon that replies like this.
async fn pull(reply: Reply) -> (Result<(), EngineError>, Vec<PullProgress>) {
    let docker = FakeDocker::answering(vec![reply]);
    let mut progress = Vec::new();
    let begin = Instant::now();
    let mut note = |step| progress.push(step);
    let answer = docker.engine().pull(IMAGE, None, None, &mut note).await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    (answer, progress)
}

fn told(error: &EngineError) -> (Fault, String) {
    (error.fault, error.to_string())
}

#[tokio::test]
async fn a_missing_socket_is_told_as_such() {
    let error = DockerEngine::new("unix:///nowhere/docker.sock", short_deadlines()).unwrap_err();
    let expected = "connect to unix:///nowhere/docker.sock: there is no socket at \
                    /nowhere/docker.sock; is the Docker daemon running?";
    assert_eq!(told(&error), (Fault::NoSocket, expected.to_owned()));
}

#[tokio::test]
async fn a_socket_that_goes_away_later_is_told_as_missing_too() {
    let docker = FakeDocker::answering(Vec::new());
    let engine = docker.engine();
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
    let engine = docker.engine();
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
    let error = DockerEngine::new("ssh://host", short_deadlines()).unwrap_err();
    assert_eq!(error.fault, Fault::Refused);
    assert!(error.cause.contains("unix:///path/of/socket or tcp://host:port"));
}

#[tokio::test]
async fn a_hung_daemon_meets_the_deadline() {
    let error = inspect(Reply::Hang).await;
    let expected = "inspect container job: no answer from the daemon within 500ms";
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
    let error = docker.engine().attach("job").await.err().unwrap();
    let expected = "attach to container job: no answer from the daemon within 500ms";
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
    assert!(error.cause.starts_with("what answers there does not speak HTTP: "), "{error}");
}

#[tokio::test]
async fn what_is_not_the_expected_json_is_the_daemons_fault() {
    for body in ["", "[1, 2]", "no json", r#"{"Id": 5}"#] {
        let error = inspect(Reply::Json(200, body)).await;
        assert_eq!(error.fault, Fault::Daemon, "{error}");
        assert!(error.cause.starts_with("the daemon's answer makes no sense: "), "{error}");
    }
}

#[tokio::test]
async fn a_failing_daemon_is_quoted() {
    let error = inspect(Reply::Json(500, r#"{"message": "open /var/lib: read-only"}"#)).await;
    let expected = "inspect container job: open /var/lib: read-only";
    assert_eq!(told(&error), (Fault::Daemon, expected.to_owned()));
    let silent = inspect(Reply::Json(500, "")).await;
    assert_eq!(silent.cause, "the daemon answered status 500 without a word");
}

#[tokio::test]
async fn a_daemon_older_than_our_api_refuses() {
    let message =
        r#"{"message": "client version 1.41 is too new. Maximum supported API version is 1.40"}"#;
    let docker = FakeDocker::answering(vec![Reply::Json(400, message)]);
    let error = docker.engine().ping().await.unwrap_err();
    assert_eq!(error.fault, Fault::Refused);
}

#[tokio::test]
async fn a_removal_that_another_began_counts_as_done_and_any_other_conflict_does_not() {
    let busy = r#"{"message": "removal of container job is already in progress"}"#;
    let other = r#"{"message": "You cannot remove a paused container job."}"#;
    let docker = FakeDocker::answering(vec![Reply::Json(409, busy), Reply::Json(409, other)]);
    let engine = docker.engine();
    assert_eq!(engine.remove_container("job").await.unwrap(), Removed::Gone);
    let error = engine.remove_container("job").await.unwrap_err();
    assert_eq!(error.fault, Fault::Conflict);
    let asked = docker.requests().concat();
    assert_eq!(
        asked.matches("DELETE /v1.41/containers/job?v=true&force=true").count(),
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
    // Each pause is shorter than the idle deadline, both together are longer.
    let docker = FakeDocker::answering(vec![Reply::Lines(Duration::from_millis(700), lines)]);
    let deadlines = Deadlines { pull_idle: Duration::from_millis(1200), ..Deadlines::default() };
    let engine = DockerEngine::new(&docker.host(), deadlines).unwrap();
    let mut progress = Vec::new();
    let mut note = |step| progress.push(step);
    engine.pull(IMAGE, None, None, &mut note).await.unwrap();
    let step = |layer: &str, status: &str, bytes| PullProgress {
        layer: layer.to_owned(),
        status: status.to_owned(),
        bytes,
    };
    let expected =
        [step("ab", "Downloading", Some((1, 2))), step("", "Status: Downloaded newer image", None)];
    assert_eq!(progress, expected);
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_pull_that_began_well_is_an_error() {
    let lines = vec![
        r#"{"status": "Pulling from team/app", "id": "1"}"#,
        r#"{"errorDetail": {"message": "toomanyrequests: retry-after: 2s"}, "error": "toomanyrequests"}"#,
    ];
    let error = pull(Reply::Lines(Duration::ZERO, lines)).await.0.unwrap_err();
    let expected = format!("pull image {IMAGE}: toomanyrequests: retry-after: 2s");
    assert_eq!(told(&error), (Fault::Throttled, expected));
    assert_eq!(error.retry_after, Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn a_wordless_error_in_a_pull_still_tells_a_cause() {
    let lines = vec![r#"{"errorDetail": {}, "error": ""}"#];
    let error = pull(Reply::Lines(Duration::ZERO, lines)).await.0.unwrap_err();
    assert_eq!(error.cause, "the daemon gave up the pull without a word");
}

#[tokio::test]
async fn a_pull_cut_off_is_unreachable_and_one_that_stalls_meets_the_idle_deadline() {
    let lines = vec![r#"{"status": "Pulling from team/app", "id": "1"}"#];
    let cut = pull(Reply::Cut(lines.clone())).await.0.unwrap_err();
    assert_eq!(cut.fault, Fault::Unreachable, "{cut}");
    let stalled = pull(Reply::Stall(lines)).await.0.unwrap_err();
    let expected = format!("pull image {IMAGE}: no progress within 500ms");
    assert_eq!(told(&stalled), (Fault::Deadline, expected));
    let hung = pull(Reply::Hang).await.0.unwrap_err();
    assert_eq!(hung.fault, Fault::Deadline);
}

#[tokio::test]
async fn a_pull_that_goes_on_for_ever_meets_its_total_deadline() {
    let lines = vec![r#"{"status": "Downloading", "id": "1"}"#; 1000];
    let (answer, progress) = pull(Reply::Lines(Duration::from_millis(20), lines)).await;
    let expected = format!("pull image {IMAGE}: not done within 1s 500ms");
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

/// Deadlines with which work may take long, and a ping may not.
fn patient() -> Deadlines {
    let minute = Duration::from_mins(1);
    Deadlines { control: Duration::from_millis(200), work: minute, ..short_deadlines() }
}

#[tokio::test]
async fn a_daemon_that_answers_no_ping_either_is_not_waited_for() {
    let docker = FakeDocker::answering(vec![Reply::Hang; 3]);
    let engine = DockerEngine::new(&docker.host(), patient()).unwrap();
    let begin = Instant::now();
    let error = engine.remove_volume("cache").await.unwrap_err();
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    let expected =
        "remove volume cache: no answer from the daemon, to a ping neither, within 600ms";
    assert_eq!(told(&error), (Fault::Deadline, expected.to_owned()));
}

#[tokio::test]
async fn a_daemon_that_is_at_something_long_and_answers_pings_has_its_time() {
    // Two pings are missed in all, but not one after the other.
    let made = r#"{"Id": "ab", "Warning": ""}"#;
    let slow = Reply::Lines(Duration::from_millis(1600), vec![made]);
    let alive = Reply::Json(200, "OK");
    let replies = vec![slow, Reply::Hang, alive.clone(), Reply::Hang, alive.clone(), alive];
    let docker = FakeDocker::answering(replies);
    let engine = DockerEngine::new(&docker.host(), patient()).unwrap();
    let begin = Instant::now();
    engine.create_network("slot", None, &Labels::new()).await.unwrap();
    assert!(begin.elapsed() > Duration::from_millis(1500), "{:?}", begin.elapsed());
}
