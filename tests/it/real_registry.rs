//! Registries that do not give an image, as whole jobs: one clear message, the right class, as many tries
//! as make sense, and nothing left behind.

use std::net::{TcpListener, ToSocketAddrs};
use std::time::Duration;

use crate::support::blame::{blames_the_host, blames_the_job};
use crate::support::fake_registry::{Answer, FakeRegistry};
use crate::support::image::Image;
use crate::support::job_json::FakeJob;
use crate::support::names::OwnImage;
use crate::support::real::{Host, assert_says};

fn registry() -> FakeRegistry {
    FakeRegistry::start(Image::unique())
}

fn job(image: &str) -> FakeJob {
    FakeJob::new().image(image).script(["echo the script runs"])
}

#[test]
fn a_registry_that_is_down() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let image = format!("{address}/team/app:1");
    let words = [&format!("failed to pull {image}"), "connection refused", "is it up?"];
    blames_the_host(&Host::new(), &job(&image), &words);
}

#[test]
fn a_registry_whose_name_nobody_knows() {
    let image = "registry.longshore.invalid/team/app:1";
    blames_the_host(&Host::new(), &job(image), &["failed to pull", "no such host", "name right"]);
}

#[test]
fn a_registry_with_a_certificate_of_nobody_we_know() {
    let registry = std::env::var("LONGSHORE_TEST_REGISTRY")
        .expect("LONGSHORE_TEST_REGISTRY names a registry that answers; script/test sets it");
    // By its address the daemon has no CA file for it.
    let address = registry.to_socket_addrs().unwrap().next().unwrap();
    let image = format!("{address}/team/app:1");
    let words = [&format!("failed to pull {image}"), "x509", "/etc/docker/certs.d"];
    blames_the_host(&Host::new(), &job(&image), &words);
}

#[test]
fn an_image_that_wants_a_login() {
    let registry = registry();
    registry.private("team/", "somebody", "canary-password");
    let image = registry.reference("team/app:1");
    let words = [&format!("failed to pull {image}"), "credentials", "DOCKER_AUTH_CONFIG"];
    blames_the_job(&Host::new(), &job(&image), &words);
}

#[test]
fn an_image_that_the_login_may_not_have_is_asked_for_once() {
    let registry = registry();
    registry.always(Answer::error(403, "DENIED", "requested access to the resource is denied"));
    let image = registry.reference("team/app:1");
    let words = [&format!("failed to pull {image}"), "denied", "credentials"];
    blames_the_job(&Host::new(), &job(&image), &words);
    assert_eq!(registry.pulls().len(), 1, "{:?}", registry.pulls());
}

#[test]
fn a_tag_that_is_not_there_is_asked_for_once() {
    let registry = registry();
    registry.always(Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown"));
    let image = registry.reference("team/app:1");
    let words = [&format!("failed to pull {image}"), "manifest unknown", "name and tag"];
    blames_the_job(&Host::new(), &job(&image), &words);
    assert_eq!(registry.pulls().len(), 1, "{:?}", registry.pulls());
}

const THROTTLED: (u16, &str, &str) = (429, "TOOMANYREQUESTS", "you pull too often");

fn throttled() -> Answer {
    Answer::error(THROTTLED.0, THROTTLED.1, THROTTLED.2)
}

#[test]
fn a_registry_that_throttles_us_once_is_asked_again() {
    let registry = registry();
    registry.answer(throttled());
    let image = OwnImage { tag: registry.reference("team/app:1") };
    let result = Host::new().run(&job(&image.tag));
    result.assert_success();
    assert_says(
        &result.trace_text(),
        &["you pull too often; trying again in 1 s", "the script runs\n"],
    );
}

#[test]
fn a_registry_that_says_when_to_come_back_is_believed() {
    let registry = registry();
    registry.answer(throttled().header("Retry-After", "3"));
    let image = OwnImage { tag: registry.reference("team/app:1") };
    let result = Host::new().run(&job(&image.tag));
    result.assert_success();
    assert_says(&result.trace_text(), &["you pull too often; trying again in 3 s"]);
    assert!(result.call("prepare").duration >= Duration::from_secs(3));
}

#[test]
fn a_registry_that_writes_when_to_come_back_into_its_sentence_is_believed() {
    let registry = registry();
    registry.answer(Answer::error(
        429,
        "TOOMANYREQUESTS",
        "retry-after: 2s, allowed: 44000/minute",
    ));
    let image = OwnImage { tag: registry.reference("team/app:1") };
    let result = Host::new().run(&job(&image.tag));
    result.assert_success();
    assert_says(&result.trace_text(), &["trying again in 2 s"]);
}

#[test]
fn a_registry_that_throttles_us_for_good_is_not_the_jobs_fault() {
    let registry = registry();
    registry.always(throttled());
    let image = registry.reference("team/app:1");
    let words =
        [&format!("failed to pull {image}"), "you pull too often", "limits", "log in", "mirror"];
    blames_the_host(&Host::new(), &job(&image), &words);
}

#[test]
fn a_registry_that_fails_for_a_moment_is_asked_again() {
    let registry = registry();
    registry.answer(Answer::error(503, "UNAVAILABLE", "in maintenance"));
    let image = OwnImage { tag: registry.reference("team/app:1") };
    let result = Host::new().run(&job(&image.tag));
    result.assert_success();
    assert_says(&result.trace_text(), &["trying again in 1 s", "the script runs\n"]);
}

#[test]
fn a_pull_that_takes_too_long_ends_by_its_deadline() {
    let registry = FakeRegistry::start(Image::with_layer(&vec![7; 400_000]));
    registry.slowly(1000, Duration::from_millis(100));
    let image = registry.reference("team/app:1");
    let host = Host::new().docker("pull_deadline", "\"3s\"");
    blames_the_host(&host, &job(&image), &["failed to pull", "not done within 3", "pull_deadline"]);
}

#[test]
fn dockers_python_sdk_pulls_through_the_broker_with_a_login_that_it_never_sees() {
    let registry = registry();
    registry.private("team/", "somebody", "canary-password");
    let image = OwnImage { tag: registry.reference("team/app:1") };
    let (host, name) = (registry.host(), image.tag.trim_end_matches(":1"));
    let pull = format!(
        "python3 -c 'import docker; client = docker.from_env(); \
         image = client.images.pull(\"{name}\", tag=\"1\"); assert image.tags == [\"{name}:1\"], image.tags; \
         assert client.images.get(\"{name}:1\").id == image.id; print(\"pulled it\")'"
    );
    let job = FakeJob::new()
        .image("longshore-test/clients:1")
        .registry_credentials(&host, "somebody", "canary-password")
        .script([
            pull.as_str(),
            &format!("docker pull --quiet {name}:1"),
            &format!("! docker pull --quiet {host}/other/app:1"),
        ]);
    let host = Host::new()
        .docker("docker_socket", "\"brokered\"")
        .docker("shared_images", "[\"longshore-test/*\"]")
        .table(&format!("[broker]\nallowed_images = [\"{name}\"]\n"));
    let result = host.run(&job);
    let trace = result.assert_success().trace_text();
    assert_says(&trace, &["pulled it\n", "allowed_images"]);
    assert!(!trace.contains("canary-password"), "{trace}");
}
