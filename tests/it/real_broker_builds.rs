//! Builds as a pipeline has them, as whole jobs with a real registry: base images of the project's own and what
//! was built before, pulled with the broker's login; what of it the ledger tells.

use serde_json::Value;

use crate::support::job_json::FakeJob;
use crate::support::real::{Host, assert_says};
use crate::support::real_registry::RegistryProject;

/// What was done to images, with the first name of each.
fn deeds(host: &Host) -> Vec<(String, String)> {
    let ledger = host.ledger();
    let events = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events
        .filter(|event| event["event"] == "image")
        .map(|event| (text(&event["deed"]), text(&event["references"][0])))
        .collect()
}

/// A base image of the project's own, in the registry and nowhere else.
fn with_base(host: &Host, project: &RegistryProject) {
    let script = [
        "printf '%s\\n' 'FROM longshore-test/busybox:1' \"RUN echo $CI_JOB_ID >/base\" >Dockerfile",
        "docker build --tag \"$CI_REGISTRY_IMAGE/base:test\" .",
        "docker push --quiet \"$CI_REGISTRY_IMAGE/base:test\"",
    ];
    host.run(&project.with_login(project.job("build", script))).assert_success();
    project.forget();
}

#[test]
fn base_images_come_from_the_registry_with_the_brokers_login() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    with_base(&host, &project);
    let base = format!("{}/base:test", project.repository);
    let app = format!("{}:test", project.repository);
    let script = [
        "printf '%s\\n' 'ARG BASE' 'FROM $BASE AS deps' 'FROM scratch' 'COPY --from=deps /base /base' >Dockerfile",
        // As `BUILD_FLAGS` has it; an archive of the registry's own, asked for anew.
        "docker build --no-cache --pull --build-arg BASE=\"$CI_REGISTRY_IMAGE/base:test\" --iidfile id --tag \"$CI_REGISTRY_IMAGE:test\" .",
        "test \"$(docker image inspect --format '{{.Id}}' \"$CI_REGISTRY_IMAGE:test\")\" = \"$(cat id)\"",
        "docker push --quiet \"$CI_REGISTRY_IMAGE:test\"",
    ];
    host.run(&project.with_login(project.job("build", script))).assert_success();
    let expected =
        [("built", &base), ("pushed", &base), ("pulled", &base), ("built", &app), ("pushed", &app)];
    let expected = expected.map(|(deed, name)| (deed.to_owned(), name.clone()));
    assert_eq!(deeds(&host), expected);
}

#[test]
fn a_base_image_that_the_login_may_not_have_is_told() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    with_base(&host, &project);
    let script = [
        "printf '%s\\n' \"FROM $CI_REGISTRY_IMAGE/base:test\" >Dockerfile",
        "docker build --pull --tag \"$CI_REGISTRY_IMAGE:test\" .",
    ];
    let job = project.job("build", script);
    let trace =
        host.run(&job.registry_credentials(&project.registry, &project.user, "wrong")).trace_text();
    let line =
        format!("longshore: {}/base:test was not pulled: {}", project.repository, project.registry);
    assert_says(&trace, &[&line, "does not take the login"]);
    assert!(!trace.contains("Successfully built"), "{trace}");
}

#[test]
fn what_was_delivered_before_is_a_cache_for_the_next_build() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    let build = |cache: &str| {
        format!(
            "docker build {cache} --iidfile id --tag \"$CI_REGISTRY_IMAGE:test\" . && cp id last && cat id"
        )
    };
    let script = [
        "printf '%s\\n' 'FROM longshore-test/busybox:1' 'RUN cat /proc/sys/kernel/random/uuid >/word' >Dockerfile".to_owned(),
        build(""),
        "docker push --quiet \"$CI_REGISTRY_IMAGE:test\"; cp id first".to_owned(),
        "docker rmi \"$CI_REGISTRY_IMAGE:test\" && docker pull --quiet \"$CI_REGISTRY_IMAGE:test\"".to_owned(),
        build("--cache-from \"$CI_REGISTRY_IMAGE:test\""),
        "cmp id first && echo from the cache".to_owned(),
        // What is not here gives nothing, as without a broker.
        build("--cache-from \"$CI_REGISTRY_IMAGE:v0\" --no-cache"),
        "cmp id first || echo built anew".to_owned(),
    ];
    let trace =
        host.run(&project.with_login(project.job("build", script))).assert_success().trace_text();
    assert_says(&trace, &["\nfrom the cache\n", "\nbuilt anew\n"]);
}

#[test]
fn a_quiet_build_without_a_name_can_be_run_by_its_id() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    let script = [
        "printf '%s\\n' 'FROM longshore-test/busybox:1' \"RUN echo $CI_JOB_ID >/word\" >Dockerfile",
        "id=$(docker build --quiet . 2>/dev/null)",
        "test \"$(docker run --rm $id cat /word)\" = \"$CI_JOB_ID\" && echo run by its id",
        // Commands cannot make another's image theirs by printing its id.
        "printf '%s\\n' 'FROM longshore-test/busybox:1' \"RUN echo sha256:$(printf 'a%.0s' $(seq 64)); exit 1\" >Dockerfile",
        "docker build --quiet . >/dev/null 2>&1 || docker run --rm sha256:$(printf 'a%.0s' $(seq 64)) true 2>&1 | grep -o 'No such image'",
    ];
    let trace = host.run(&project.job("build", script)).trace_text();
    assert_says(&trace, &["\nrun by its id\n", "\nNo such image\n"]);
}

/// The command line puts such a Dockerfile into the context itself, and leaves the archive without an end.
#[test]
fn a_dockerfile_may_come_from_standard_input() {
    let script = [
        "printf hello >word",
        "printf '%s\\n' 'FROM longshore-test/busybox:1' 'COPY word /word' 'CMD cat /word' >../recipe",
        "docker build --tag mine:1 --file - . <../recipe",
        "test \"$(docker run --rm mine:1)\" = hello",
        "docker build --tag mine:2 - <../recipe && exit 1 || echo no context, as it should be",
    ];
    let result = Host::brokered().run(&FakeJob::new().image("docker:28-cli").script(script));
    assert_says(&result.assert_success().trace_text(), &["\nno context, as it should be\n"]);
}
