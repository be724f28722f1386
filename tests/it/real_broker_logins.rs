//! With which login a job's own pulls and pushes go to the real registry: the broker's, which the job never
//! has, and never what its client sends; and what the job reads where none of them does.

use std::net::TcpListener;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use longshore::secrets::vault::VaultSettings;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::bao::Bao;
use crate::support::job_json::FakeJob;
use crate::support::names::unique;
use crate::support::real::{Host, assert_says};
use crate::support::real_registry::{RegistryProject, remove};
use crate::support::vault::furnished;

/// Something of its own for the registry, pushed, taken away, and pulled again.
const THERE_AND_BACK: [&str; 7] = [
    "printf '%s\\n' 'FROM longshore-test/busybox:1' \"RUN echo $CI_JOB_ID >/word\" >Dockerfile",
    "docker build --quiet --tag \"$CI_REGISTRY_IMAGE:test\" .",
    "docker push --quiet \"$CI_REGISTRY_IMAGE:test\"",
    "docker rmi \"$CI_REGISTRY_IMAGE:test\"",
    "docker pull --quiet \"$CI_REGISTRY_IMAGE:test\"",
    "test \"$(docker run --rm \"$CI_REGISTRY_IMAGE:test\" cat /word)\" = \"$CI_JOB_ID\"",
    "echo there and back",
];

/// Prints the hash of every value in the environment of every process that the job sees, and of every word of
/// Docker's configuration.
const HASHES: &str = r#"for file in /proc/[0-9]*/environ /proc/self/environ "$DOCKER_CONFIG"/*; do
      cat "$file" 2>/dev/null | tr '\0' '\n' | sed 's/^[^=]*=//' | tr -c '[:graph:]\n' '\n' || true
    done | sort -u | while read -r word; do printf '%s' "$word" | sha256sum; done | sed 's/ .*//; s/^/hash /'"#;

fn hash(word: &str) -> String {
    format!("hash {:x}\n", Sha256::digest(word))
}

fn thither(project: &RegistryProject) -> FakeJob {
    let control = "export CONTROL=a-word-of-its-own";
    let script = THERE_AND_BACK.iter().copied().chain([control, HASHES]);
    project.job("build", script)
}

/// The job did what it wanted, and had no password of the registry's.
fn assert_done(project: &RegistryProject, host: &Host, job: &FakeJob) {
    let trace = host.run(job).assert_success().trace_text();
    assert_says(&trace, &["there and back\n", &hash("a-word-of-its-own")]);
    assert!(!trace.contains(&hash(&project.password)), "the job has the password");
    assert!(!host.ledger().contains(&project.password));
}

#[test]
fn the_login_that_gitlab_sends_goes_with_the_jobs_requests_and_not_with_the_job() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    assert_done(&project, &host, &project.with_login(thither(&project)));
}

#[test]
fn a_docker_auth_config_counts_before_it() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    let coded = BASE64_STANDARD.encode(format!("{}:{}", project.user, project.password));
    let config = json!({"auths": {project.registry.clone(): {"auth": coded}}}).to_string();
    let job = project
        .job("build", THERE_AND_BACK)
        .registry_credentials(&project.registry, &project.user, "wrong")
        .masked("DOCKER_AUTH_CONFIG", &config);
    let trace = host.run(&job).assert_success().trace_text();
    assert_says(&trace, &["there and back\n"]);
    assert!(!trace.contains(&coded) && !trace.contains(&project.password), "{trace}");
}

/// The settings by which the registry's password lies in this server.
fn with_vault(vault: &VaultSettings, project: &RegistryProject, field: &str) -> Host {
    Host::brokered().vault(vault).table(&format!(
        "[[docker.login]]\nregistry = \"{}\"\nusername = \"{}\"\npassword = \"kv/app/registry#{field}\"\n\
         projects = \"group/*\"\n",
        project.registry, project.user
    ))
}

async fn stored(bao: &Bao, project: &RegistryProject) {
    let fields = json!({"data": {"password": project.password}});
    bao.admin_in("", ("POST", "kv/data/app/registry"), fields).await;
}

#[tokio::test]
async fn a_password_in_vault_is_fetched_once_for_a_stage_and_only_where_something_needs_it() {
    let (bao, vault) = furnished().await;
    let project = RegistryProject::new();
    stored(&bao, &project).await;
    let host = with_vault(&vault, &project, "password");
    let silent = project.job("build", ["docker version", "docker ps"]);
    host.run(&silent).assert_success();
    assert_eq!(bao.logins_and_revokes(), (0, 0));
    assert_done(&project, &host, &thither(&project));
    assert_eq!(bao.logins_and_revokes(), (1, 1));
    // Another project's jobs have none.
    let path = format!("other/{}", unique());
    let image = format!("{}/{path}", project.registry);
    let stranger = thither(&project).project(43, &path).registry_image(&image);
    let trace = host.run(&stranger).trace_text();
    remove(&image);
    let line = format!("longshore: {image}:test was not pushed: ");
    assert_says(&trace, &[&line, "does not take the login"]);
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn a_password_that_vault_does_not_have_is_told_and_nobody_is_asked_without() {
    let (bao, vault) = furnished().await;
    let project = RegistryProject::new();
    stored(&bao, &project).await;
    let host = with_vault(&vault, &project, "lost");
    let result = host.run(&thither(&project));
    let trace = result.trace_text();
    let words =
        ["refused a request [login]: the password of", "cannot be had", "no field \"lost\""];
    assert_says(&trace, &words);
    assert!(!trace.contains("there and back\n"), "{trace}");
    assert_eq!(project.tags().await.len(), 0);
}

#[tokio::test]
async fn what_a_client_sends_as_its_login_is_dropped() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    // The right one, in the client's hands; none in the broker's.
    let login =
        "printf %s \"$RIGHT\" | docker login --username \"$WHO\" --password-stdin \"$CI_REGISTRY\"";
    let script = [login, "grep -q auths \"$DOCKER_CONFIG/config.json\""];
    let job = project
        .job("build", script.iter().copied().chain(THERE_AND_BACK))
        .masked("RIGHT", &project.password)
        .variable("WHO", &project.user);
    let trace = host.run(&job).trace_text();
    assert_says(
        &trace,
        &[
            &format!("longshore: {}:test was not pushed: ", project.repository),
            "`docker login` in a script changes nothing",
        ],
    );
    assert_eq!(project.tags().await.len(), 0);
    assert!(!host.ledger().contains("\"deed\":\"pushed\""), "{}", host.ledger());
}

#[tokio::test]
async fn a_wrong_password_is_told_in_clear_words_and_nothing_counts_as_pushed() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    let job =
        thither(&project).registry_credentials(&project.registry, &project.user, "wrong-password");
    let trace = host.run(&job).trace_text();
    assert_says(&trace, &["unauthorized", "was not pushed: ", "DOCKER_AUTH_CONFIG"]);
    assert!(!trace.contains("wrong-password"), "{trace}");
    assert_eq!(project.tags().await.len(), 0);
    assert!(!host.ledger().contains("\"deed\":\"pushed\""), "{}", host.ledger());
    let pull = project
        .job("test", ["docker pull \"$CI_REGISTRY_IMAGE:test\""])
        .registry_credentials(&project.registry, &project.user, "wrong-password");
    let trace = host.run(&pull).trace_text();
    assert_says(&trace, &[&format!("{}:test was not pulled: ", project.repository)]);
}

#[test]
fn a_registry_that_is_down_is_told_as_such() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let image = format!("{address}/{}", project.path);
    for (stage, words) in [("build", "was not pushed: "), ("test", "was not pulled: ")] {
        let script = match stage {
            "build" => THERE_AND_BACK.to_vec(),
            _ => vec!["docker pull \"$CI_REGISTRY_IMAGE:test\""],
        };
        let job = project.job(stage, script).registry_image(&image);
        let trace = host.run(&job).trace_text();
        let line = format!("longshore: {image}:test {words}{address} cannot be reached");
        assert_says(&trace, &["connection refused", &line, "is it up?"]);
    }
    assert!(!host.ledger().contains("\"deed\":\"pushed\""), "{}", host.ledger());
    remove(&image);
}
