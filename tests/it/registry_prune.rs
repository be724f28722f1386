//! What goes from a registry: a tag, and never the manifest that `latest` has, whatever kind of registry it
//! is and wherever it fails; and the whole of it as a job, at a registry with TLS and a login.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use longshore::engine::{RegistryLogin, Repository};
use longshore::host::prune::remote::{self, Untagged};
use longshore::plan::prune::{PrunePolicy, RemotePlan, Rivals};
use longshore::secrets::Secret;
use serde_json::json;

use crate::support::bao::write_private;
use crate::support::job_json::FakeJob;
use crate::support::names::unique;
use crate::support::real::{Host, assert_says, busybox};
use crate::support::tag_registry::{Deletes, Fails, TagRegistry};

const SHA: &str = "89abcdef0123456789abcdef0123456789abcdef";

fn policy(registry: &TagRegistry) -> PrunePolicy {
    PrunePolicy {
        repository: registry.repository(),
        keep: vec!["latest".into(), "v*".into()],
        drop: vec!["test".into(), SHA.into(), "v*".into()],
        own: vec![SHA.into()],
        ..PrunePolicy::default()
    }
}

/// A registry with one image under four names, and another pipeline's.
fn delivered(deletes: Deletes) -> TagRegistry {
    let registry = TagRegistry::start(deletes);
    registry.has("delivered", &["latest", "test", SHA, "v1"]);
    registry.has("another", &["other"]);
    registry
}

async fn planned(registry: &TagRegistry) -> RemotePlan {
    let policy = policy(registry);
    let repository = Repository::new(&policy.repository, None).unwrap();
    remote::plan(&repository, &policy, &Rivals::default()).await.unwrap()
}

async fn acted(registry: &TagRegistry, plan: &RemotePlan) -> Untagged {
    let policy = policy(registry);
    let repository = Repository::new(&policy.repository, None).unwrap();
    remote::act(&repository, &policy, (plan, "nonce")).await
}

async fn pruned(registry: &TagRegistry) -> Untagged {
    acted(registry, &planned(registry).await).await
}

fn names(registry: &TagRegistry) -> Vec<String> {
    registry.tags().into_keys().collect()
}

#[tokio::test]
async fn tags_go_one_by_one_from_new_and_old_registries() {
    for deletes in [Deletes::ByName, Deletes::ByDigest] {
        let registry = delivered(deletes);
        let before = registry.tags();
        let done = pruned(&registry).await;
        assert_eq!(done.left, Vec::<String>::new(), "{deletes:?}");
        assert_eq!(done.removed.len(), 2, "{deletes:?}");
        assert_eq!(names(&registry), ["latest", "other", "v1"], "{deletes:?}");
        assert_eq!(registry.tags()["latest"], before["latest"]);
    }
}

#[tokio::test]
async fn a_registry_that_takes_all_tags_along_is_put_right_at_once_and_not_asked_again() {
    let registry = delivered(Deletes::Everything);
    let before = registry.tags();
    let done = pruned(&registry).await;
    let told = done.left.join("\n");
    assert_says(
        &told,
        &["WARNING", "latest was put back", "registry = false", "not tried any more"],
    );
    let after = registry.tags();
    assert_eq!(after["latest"], before["latest"]);
    let lost: BTreeSet<&String> = before.keys().filter(|tag| !after.contains_key(*tag)).collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
}

/// Whichever request is the last that it answers: what is kept is what it was, nothing is called gone that is
/// there, and the next prune finishes.
async fn goes_down(deletes: Deletes, fails: Fails, last: usize) {
    let registry = delivered(deletes);
    let (plan, before) = (planned(&registry).await, registry.tags());
    registry.fails_by(fails, last);
    let done = acted(&registry, &plan).await;
    assert!(done.failed && !done.left.is_empty(), "{deletes:?} {fails:?} {last}");
    let after = registry.tags();
    for kept in ["latest", "other", "v1"] {
        assert_eq!(after[kept], before[kept], "{deletes:?} {fails:?} {last}");
    }
    for gone in &done.removed {
        let tag = gone.rsplit(':').next().unwrap();
        assert!(!after.contains_key(tag), "{deletes:?} {fails:?} {last}: {gone}");
    }
    registry.fails_after(usize::MAX);
    let next = pruned(&registry).await;
    assert!(!next.failed, "{deletes:?} {fails:?} {last}: {:?}", next.left);
    assert_eq!(names(&registry), ["latest", "other", "v1"], "{deletes:?} {fails:?} {last}");
}

/// The first request of a prune, and the one behind its last.
async fn requests(deletes: Deletes) -> std::ops::Range<usize> {
    let registry = delivered(deletes);
    let plan = planned(&registry).await;
    let asked = registry.requests().len();
    acted(&registry, &plan).await;
    asked..registry.requests().len()
}

#[tokio::test]
async fn a_registry_that_goes_down_half_way_loses_nothing() {
    for deletes in [Deletes::ByName, Deletes::ByDigest] {
        let requests = requests(deletes).await;
        assert!(requests.len() > 8, "{requests:?}");
        for last in requests {
            goes_down(deletes, Fails::Down, last).await;
            goes_down(deletes, Fails::WithError, last).await;
        }
    }
}

/// At the request that takes a tag away, and where a manifest was made for that.
#[tokio::test]
async fn a_registry_that_hangs_half_way_costs_seconds_and_loses_nothing() {
    let began = std::time::Instant::now();
    tokio::join!(
        goes_down(Deletes::ByName, Fails::Hangs, requests(Deletes::ByName).await.start + 2),
        goes_down(Deletes::ByDigest, Fails::Hangs, requests(Deletes::ByDigest).await.start + 6),
    );
    assert!(began.elapsed() < std::time::Duration::from_secs(25), "{:?}", began.elapsed());
}

/// Killed between the two steps of it: the tag points to nothing that anybody can pull.
#[tokio::test]
async fn a_tag_that_an_interrupted_prune_has_emptied_is_known_by_what_it_points_to() {
    let registry = delivered(Deletes::ByDigest);
    registry.has("{\"config\":{\"digest\":\"sha256:none\"},\"layers\":[]}", &["test"]);
    let policy = policy(&registry);
    let repository = Repository::new(&policy.repository, None).unwrap();
    // Somebody's own, though as empty.
    assert!(!repository.is_throw_away("test").await.unwrap());
    assert!(!repository.is_throw_away("latest").await.unwrap());
    assert!(!repository.is_throw_away("missing").await.unwrap());
    assert_eq!(planned(&registry).await.remove.len(), 1);
}

/// Whichever answer is lost: each tag is what it was, or gone.
#[tokio::test]
async fn an_answer_that_is_lost_leaves_no_tag_on_an_empty_manifest() {
    for deletes in [Deletes::ByName, Deletes::ByDigest] {
        let registry = delivered(deletes);
        let plan = planned(&registry).await;
        let asked = registry.requests().len();
        acted(&registry, &plan).await;
        for lost in asked + 1..=registry.requests().len() {
            let registry = delivered(deletes);
            let (plan, before) = (planned(&registry).await, registry.tags());
            registry.loses(lost);
            let done = acted(&registry, &plan).await;
            assert!(!done.left.is_empty(), "{deletes:?} {lost}");
            for (tag, digest) in registry.tags() {
                assert_eq!(digest, before[&tag], "{deletes:?} {lost} {tag}: {:?}", done.left);
            }
            assert!(registry.tags().contains_key("latest"));
        }
    }
}

#[tokio::test]
async fn what_another_pipeline_pushes_meanwhile_stays() {
    let registry = delivered(Deletes::ByDigest);
    let plan = planned(&registry).await;
    assert_eq!(plan.remove.len(), 2);
    let requests = registry.requests().len();
    registry.pushed_at(requests + 1, "test");
    let done = acted(&registry, &plan).await;
    assert_says(&done.left.join("\n"), &["test: it is another image by now"]);
    assert_eq!(names(&registry), ["latest", "other", "test", "v1"]);
}

#[tokio::test]
async fn a_latest_that_moves_meanwhile_is_told() {
    let registry = delivered(Deletes::ByName);
    let plan = planned(&registry).await;
    registry.pushed_at(registry.requests().len() + 2, "latest");
    let done = acted(&registry, &plan).await;
    assert_says(&done.left.join("\n"), &["WARNING: the registry's", "before the prune"]);
}

/// The registry that `script/test` starts: its name, who logs in, with what.
fn real() -> (String, RegistryLogin) {
    let variable = |name: &str| {
        let name = format!("LONGSHORE_TEST_REGISTRY{name}");
        std::env::var(&name).unwrap_or_else(|_| panic!("script/test sets {name}"))
    };
    let host = variable("");
    let file = variable("_PASSWORD_FILE");
    let password = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let login = RegistryLogin {
        registry: host.clone(),
        username: variable("_USER"),
        password: Secret::new(password.trim()),
    };
    (host, login)
}

/// Pushes one image under these names, as a delivery does.
fn push(host: &Host, repository: &str, login: &RegistryLogin, tags: &[&str]) {
    let password = String::from_utf8_lossy(login.password.expose()).into_owned();
    let auth = BASE64_STANDARD.encode(format!("{}:{password}", login.username));
    let config = host.path("docker-config");
    std::fs::create_dir_all(&config).unwrap();
    let auths = json!({"auths": {login.registry.clone(): {"auth": auth}}});
    write_private(&config.join("config.json"), &auths.to_string());
    let docker = |words: &[&str]| {
        let mut command = Command::new("docker");
        command.arg("--config").arg(&config).args(words).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&[0; 1024]).unwrap();
        assert!(child.wait().unwrap().success(), "{words:?}");
    };
    let label = format!("LABEL longshore-test={}", unique());
    let first = format!("{repository}:{}", tags[0]);
    docker(&["import", "--change", &label, "-", &first]);
    for tag in tags {
        let name = format!("{repository}:{tag}");
        if name != first {
            docker(&["tag", &first, &name]);
        }
        docker(&["push", "--quiet", &name]);
    }
}

fn forget(repository: &str) {
    let images =
        Command::new("docker").args(["image", "ls", "-q", "--no-trunc", repository]).output();
    for id in String::from_utf8(images.unwrap().stdout).unwrap().lines() {
        drop(Command::new("docker").args(["image", "rm", "--force", id]).output());
    }
}

#[tokio::test]
async fn a_delivery_takes_its_tags_from_a_real_registry_and_leaves_latest() {
    let (registry, login) = real();
    let path = format!("group/{}", unique());
    let name = format!("{registry}/{path}");
    let host = Host::new().table("[prune]\nregistry = true\n");
    push(&host, &name, &login, &["latest", "test", SHA, "v1"]);
    let repository = Repository::new(&name, Some(&login)).unwrap();
    let before = repository.digest("latest").await.unwrap().unwrap();
    assert_eq!(repository.digest(SHA).await.unwrap(), Some(before.clone()));
    let password = String::from_utf8_lossy(login.password.expose()).into_owned();
    let job = busybox(["echo delivered"])
        .stage("delivery")
        .project(FakeJob::new().id, &path)
        .registry_image(&name)
        .registry_credentials(&registry, &login.username, &password)
        .sha(SHA);
    let trace = host.run(&job).assert_success().trace_text();
    assert_says(
        &trace,
        &[
            &format!("longshore: removed from the registry: {name}:test\n"),
            &format!("longshore: removed from the registry: {name}:{SHA}\n"),
        ],
    );
    assert!(!trace.contains("WARNING"), "{trace}");
    let mut left = repository.tags().await.unwrap();
    left.sort();
    assert_eq!(left, ["latest", "v1"], "{trace}");
    assert_eq!(repository.digest("latest").await.unwrap(), Some(before));
    assert!(host.ledger().contains("\"untagged\""));
    forget(&name);
}

/// Both have built the same image, and tag what they test by one name: the first delivery leaves it to the other,
/// whose test has not begun; the other's delivery takes it.
#[tokio::test]
async fn two_pipelines_that_deliver_the_same_repository_leave_each_other_what_they_need() {
    let (registry, login) = real();
    let path = format!("group/{}", unique());
    let name = format!("{registry}/{path}");
    let host = Host::new().table("[prune]\nregistry = true\n");
    let theirs = "0123abcdef89abcdef0123456789abcdef012345";
    push(&host, &name, &login, &["latest", "test", SHA, theirs]);
    let repository = Repository::new(&name, Some(&login)).unwrap();
    let before = repository.digest("latest").await.unwrap().unwrap();
    let password = String::from_utf8_lossy(login.password.expose()).into_owned();
    let project = FakeJob::new().id;
    let job = |stage: &str, pipeline: u64, sha: &str| {
        busybox(["echo fine"])
            .stage(stage)
            .pipeline(pipeline)
            .project(project, &path)
            .registry_image(&name)
            .registry_credentials(&registry, &login.username, &password)
            .sha(sha)
    };
    let run = |job: FakeJob| host.run(&job).assert_success().trace_text();
    let left = async || {
        let mut left = repository.tags().await.unwrap();
        left.sort();
        left
    };
    run(job("build", 8, theirs));
    let trace = run(job("delivery", 7, SHA));
    assert_says(
        &trace,
        &[
            &format!("longshore: removed from the registry: {name}:{SHA}\n"),
            &format!("longshore: kept {name}:test: pipeline 8 is at work and may need it\n"),
            &format!("kept in the registry: {name}:test: pipeline 8 is at work and may need it\n"),
        ],
    );
    assert_eq!(left().await, [theirs, "latest", "test"], "{trace}");
    let trace = run(job("delivery", 8, theirs));
    assert_eq!(left().await, ["latest"], "{trace}");
    assert_eq!(repository.digest("latest").await.unwrap(), Some(before));
    host.await_workers();
    forget(&name);
}

#[test]
fn a_registry_that_refuses_the_login_costs_the_delivery_nothing() {
    let (registry, _) = real();
    let path = format!("group/{}", unique());
    let name = format!("{registry}/{path}");
    let host = Host::new().table("[prune]\nregistry = true\n");
    let job = busybox(["echo delivered"])
        .stage("delivery")
        .project(FakeJob::new().id, &path)
        .registry_image(&name)
        .registry_credentials(&registry, "longshore", "wrong-password");
    let trace = host.run(&job).assert_success().trace_text();
    assert_says(&trace, &["nothing was removed from the registry: list the tags of", "401"]);
}
