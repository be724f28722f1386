//! With which credentials an image is pulled, and where those of a job's own `docker login` end: whole jobs
//! on the real daemon, with registries that want a login.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use longshore::secrets::vault::VaultSettings;
use serde_json::{Value, json};

use crate::support::bao::write_private;
use crate::support::blame::{blames_the_host, blames_the_job};
use crate::support::fake_registry::FakeRegistry;
use crate::support::image::Image;
use crate::support::job_json::FakeJob;
use crate::support::names::OwnImage;
use crate::support::real::{Host, assert_says, await_gone, busybox};
use crate::support::vault::furnished;

const PASSWORD: &str = "canary-password";

/// A registry whose `team/` is for `member` alone, and the image there.
fn registry() -> (FakeRegistry, OwnImage) {
    let registry = FakeRegistry::start(Image::unique());
    registry.private("team/", "member", PASSWORD);
    let image = OwnImage { tag: registry.reference("team/app:1") };
    (registry, image)
}

fn job(image: &OwnImage) -> FakeJob {
    FakeJob::new().image(&image.tag).script(["echo the script runs"])
}

/// A Docker configuration with one password for each registry.
fn auths(entries: &[(String, &str)]) -> Value {
    let coded = |password: &str| BASE64_STANDARD.encode(format!("member:{password}"));
    let entries = entries
        .iter()
        .map(|(registry, password)| (registry.clone(), json!({"auth": coded(password)})));
    json!({"auths": entries.collect::<serde_json::Map<_, _>>()})
}

#[test]
fn the_jobs_own_configuration_comes_before_gitlabs_credentials_and_its_longest_prefix_wins() {
    let (registry, image) = registry();
    let wrong_by_gitlab = job(&image).registry_credentials(&registry.host(), "member", "wrong");
    blames_the_job(&Host::new(), &wrong_by_gitlab, &["failed to pull", "DOCKER_AUTH_CONFIG"]);
    let config = auths(&[
        (registry.host(), "wrong"),
        (format!("{}/team", registry.host()), PASSWORD),
        (format!("{}/te", registry.host()), "wrong"),
    ]);
    let result =
        Host::new().run(&wrong_by_gitlab.variable("DOCKER_AUTH_CONFIG", &config.to_string()));
    assert_says(&result.assert_success().trace_text(), &["the script runs\n"]);
    assert!(!result.trace_text().contains(PASSWORD));
}

/// A host whose operator has this Docker configuration.
fn with_auth_file(config: &Value) -> Host {
    let host = Host::new();
    let file = host.path("docker.json");
    write_private(&file, &config.to_string());
    host.docker("auth_file", &format!("{:?}", file.display().to_string()))
}

#[test]
fn the_operators_configuration_serves_every_job_and_comes_before_gitlabs_credentials() {
    let (registry, image) = registry();
    let host = with_auth_file(&auths(&[(format!("http://{}", registry.host()), PASSWORD)]));
    host.run(&job(&image).registry_credentials(&registry.host(), "member", "wrong"))
        .assert_success();
}

/// Puts a credential helper of this name beside the host's settings, and answers the PATH to find it.
fn helper(host: &Host, name: &str, script: &str) -> String {
    let directory: PathBuf = host.path("bin");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("docker-credential-{name}"));
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", directory.display())
}

/// It tells what it was asked, and that it saw none of the job's variables.
const ANSWERS: &str = r#"read -r server
echo "$1 $server $(env | grep -c CUSTOM_ENV_)" >>"$0.log"
echo "{\"ServerURL\": \"$server\", \"Username\": \"member\", \"Secret\": \"canary-password\"}""#;

#[test]
fn a_credential_helper_is_asked_for_its_registry_and_a_store_for_all_others() {
    let (registry, image) = registry();
    let entries = [
        json!({"credHelpers": {registry.host(): "test"}, "credsStore": "nothing"}),
        json!({"credsStore": "test"}),
    ];
    for config in entries {
        let host = with_auth_file(&config).docker("pull_policy", "[\"always\"]");
        let path = helper(&host, "test", ANSWERS);
        let job = job(&image);
        host.runner().env("PATH", path).run(&job).assert_success();
        await_gone(&job);
        let log = std::fs::read_to_string(host.path("bin/docker-credential-test.log")).unwrap();
        assert_eq!(log, format!("get {} 0\n", registry.host()));
    }
}

#[test]
fn a_helper_that_has_nothing_leaves_it_to_the_next_and_one_that_fails_is_told_without_its_words() {
    let (registry, image) = registry();
    let host = with_auth_file(&json!({"credsStore": "test"}));
    let given = || job(&image).registry_credentials(&registry.host(), "member", PASSWORD);
    let path = helper(&host, "test", "echo credentials not found in native keychain; exit 1");
    let first = given();
    let result = host.runner().env("PATH", &path).run(&first);
    await_gone(&first);
    assert!(!result.assert_success().trace_text().contains("warning"), "{}", result.trace_text());
    let host = host.docker("pull_policy", "[\"always\"]");
    helper(&host, "test", "echo canary-of-the-helper; exit 3");
    let second = given();
    let result = host.runner().env("PATH", &path).run(&second);
    await_gone(&second);
    let words = ["warning: docker-credential-test failed for", "exit status: 3", "try it by hand"];
    assert_says(&result.assert_success().trace_text(), &words);
    assert!(!result.trace_text().contains("canary-of-the-helper"));
}

/// The settings by which one registry's password lies in this server.
fn with_vault(vault: &VaultSettings, registry: &str, field: &str, projects: &str) -> Host {
    Host::new().vault(vault).table(&format!(
        "[[docker.login]]\nregistry = \"{registry}\"\nusername = \"member\"\n\
         password = \"kv/app/demo#{field}\"\nprojects = \"{projects}\"\n"
    ))
}

#[tokio::test]
async fn a_registrys_password_may_lie_in_vault() {
    let (bao, vault) = furnished().await;
    let registry = FakeRegistry::start(Image::unique());
    registry.private("team/", "member", "second-value");
    let image = OwnImage { tag: registry.reference("team/app:1") };
    let host = with_vault(&vault, &registry.host(), "api_key", "group/*");
    // With a secret of the job beside it: one login for both.
    let host = host.table("[secrets]\nDB = { path = \"kv1/app/demo#db\", projects = [\"**\"] }\n");
    let asks = job(&image).variable("LONGSHORE_SECRETS", "DB");
    let result = host.run(&asks.script(["env", "echo ${#DB} ${DB%-value}"]));
    assert_says(&result.assert_success().trace_text(), &["\n8 db\n"]);
    for value in ["second-value", "db-value"] {
        assert!(!result.trace_text().contains(value), "{}", result.trace_text());
    }
    assert_eq!(bao.logins_and_revokes(), (1, 1));
    // Another project's jobs do not pull with it, and what is cached is not theirs either.
    let stranger = job(&image).project(43, "other/project");
    blames_the_job(&host, &stranger, &["failed to pull", "credentials"]);
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn a_password_that_vault_does_not_have_is_the_operators_affair() {
    let (_bao, vault) = furnished().await;
    let (registry, image) = registry();
    let host = with_vault(&vault, &registry.host(), "lost", "**");
    let words = ["no field \"lost\"", "settings: [[docker.login]] password"];
    blames_the_host(&host, &job(&image), &words);
    // Whose fault it is does not depend on what else is read with the same login.
    let host =
        host.table("[secrets]\nGONE = { path = \"kv1/app/demo#gone\", projects = [\"**\"] }\n");
    blames_the_host(&host, &job(&image).variable("LONGSHORE_SECRETS", "GONE"), &words);
    let host = with_vault(&vault, &registry.host(), "api_key", "**");
    let host =
        host.table("[secrets]\nGONE = { path = \"kv1/app/demo#gone\", projects = [\"**\"] }\n");
    let asks = job(&image).variable("LONGSHORE_SECRETS", "GONE");
    blames_the_job(&host, &asks, &["secret GONE", "no field \"gone\""]);
}

/// For what goes from the registry after a delivery: by a login at the end, where no other place has one.
#[tokio::test]
async fn a_password_for_the_prune_is_read_once_and_only_where_it_is_needed() {
    let (bao, vault) = furnished().await;
    let registry = FakeRegistry::start(Image::unique());
    let host =
        with_vault(&vault, &registry.host(), "api_key", "**").table("[prune]\nregistry = true\n");
    registry.private("group/", "member", "second-value");
    let delivery = busybox(["true"])
        .stage("delivery")
        .project(47, "group/pruned")
        .registry_image(&registry.reference("group/pruned"));
    let asked = || {
        let seen = registry.seen().into_iter().filter(|one| one.path.contains("/tags/list"));
        seen.filter_map(|one| one.login).collect::<Vec<_>>()
    };
    host.run(&delivery.clone().script(["false"]));
    assert_eq!((bao.logins_and_revokes(), asked()), ((0, 0), Vec::new()));
    let result = host.run(&delivery);
    assert!(!result.assert_success().trace_text().contains("second-value"));
    assert_eq!((bao.logins_and_revokes(), asked()), ((1, 1), vec!["member:second-value".into()]));
    let config = auths(&[(registry.host(), "of-the-operator")]);
    let file = host.path("docker.json");
    write_private(&file, &config.to_string());
    let host = host.docker("auth_file", &format!("{:?}", file.display().to_string()));
    host.run(&delivery).assert_success();
    assert_eq!(bao.logins_and_revokes(), (1, 1));
    assert_eq!(asked()[1], "member:of-the-operator");
}

#[test]
fn a_jobs_own_login_stays_in_memory() {
    let (registry, _image) = registry();
    let login = format!(
        "echo {PASSWORD} | docker login --username member --password-stdin {}",
        registry.host()
    );
    let tell = "echo \"in $DOCKER_CONFIG: $(stat -f -c %T $DOCKER_CONFIG) $(grep -c auth $DOCKER_CONFIG/config.json)\"";
    let script = [login.as_str(), tell, "test ! -e ~/.docker/config.json"];
    let job = FakeJob::new().image("longshore-git:latest").script(script).after_script([tell]);
    let host = Host::new().docker("docker_socket", "\"raw\"");
    let result = host.run(&job);
    result.assert_success();
    for stage in ["build_script", "after_script"] {
        assert_says(&result.call(stage).stdout(), &["in /run/longshore/docker: tmpfs 2\n"]);
    }
}

#[test]
fn a_job_that_says_where_its_docker_configuration_lies_is_believed() {
    let tell = "echo \"in $DOCKER_CONFIG, $(stat -c %U /run/longshore/docker)\"";
    let job = FakeJob::new().image("longshore-test/user:1").script([tell]);
    let result = Host::new().run(&job.clone());
    assert_says(&result.assert_success().trace_text(), &["in /run/longshore/docker, app\n"]);
    let result = Host::new().run(&job.variable("DOCKER_CONFIG", "/tmp/own"));
    assert_says(&result.assert_success().trace_text(), &["in /tmp/own, app\n"]);
}
