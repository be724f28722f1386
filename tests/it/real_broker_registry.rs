//! A pipeline through the broker, as whole jobs with a real registry: build, push, pull by digest, deliver,
//! prune; the tags that each stage may push; and what the ledger knows of it afterwards.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::real::{Host, assert_says};
use crate::support::real_registry::RegistryProject;
use crate::support::running::JobResult;

/// Two stages, the first of them without a name in the end.
const DOCKERFILE: &str = r"printf '%s\n' 'FROM longshore-test/busybox:1 AS deps' 'ARG WORD' 'RUN echo $WORD >/word' \
    'FROM longshore-test/busybox:1' 'COPY --from=deps /word /word' 'CMD cat /word' >Dockerfile";

const DIGESTS: &str = "docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}'";

/// The ledger's words on images, in their order: what was done, under which names, with which digest.
fn images(host: &Host) -> Vec<(String, Vec<String>, Option<String>)> {
    let ledger = host.ledger();
    let events = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    events
        .filter(|event| event["event"] == "image")
        .map(|event| {
            let references = event["references"].as_array().unwrap().iter().filter_map(text);
            (text(&event["deed"]).unwrap(), references.collect(), text(&event["digest"]))
        })
        .collect()
}

fn refused(host: &Host, rule: &str) -> usize {
    let mark = "\"event\":\"refused\"";
    let rule = format!("\"rule\":\"{rule}\"");
    host.ledger().lines().filter(|line| line.contains(mark) && line.contains(&rule)).count()
}

fn await_images(project: &RegistryProject, expected: &[String]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left = project.on_daemon();
        if left == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{left:?} and not {expected:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Builds and pushes `test`; answers its digest.
fn build(host: &Host, project: &RegistryProject) -> String {
    let script = [
        DOCKERFILE,
        // Wrong, and of no account: the broker has the right one.
        "echo wrong | docker login --username nobody --password-stdin \"$CI_REGISTRY\"",
        "docker build --no-cache --iidfile image.id --tag \"$CI_REGISTRY_IMAGE:test\" --build-arg WORD=$CI_JOB_ID .",
        "docker push --quiet \"$CI_REGISTRY_IMAGE:test\"",
        &format!("{DIGESTS} \"$(cat image.id)\" | sed 's/^/digest /'"),
    ];
    let result = host.run(&project.with_login(project.job("build", script)));
    result.assert_success();
    let trace = result.shown_text();
    assert!(!trace.contains(&project.password), "{trace}");
    let digest = trace.lines().find_map(|line| line.strip_prefix("digest "));
    digest.unwrap_or_else(|| panic!("no digest in {trace}")).trim().to_owned()
}

#[tokio::test]
async fn a_pipeline_is_built_tested_delivered_and_pruned_by_what_the_ledger_tells() {
    let (host, project) = (Host::brokered().table("[prune]\n"), RegistryProject::new());
    let image = build(&host, &project);
    let digest = image.split_once('@').unwrap().1.to_owned();
    assert_eq!(project.tags().await["test"], digest);

    // As on another host: what is not here comes from the registry, by its digest.
    project.forget();
    let tests = [
        &format!("docker pull --quiet {image}"),
        &format!(
            "docker run --detach --name app --network \"$LONGSHORE_NETWORK\" {image} sleep 60"
        ),
        "docker exec app cat /word",
        "docker inspect --format '{{.State.Running}}' app",
        "docker rm --force --volumes app",
    ];
    host.run(&project.with_login(project.job("test", tests))).assert_success();

    let deliver = [
        &format!("docker pull --quiet {image}"),
        &format!("docker tag {image} \"$CI_REGISTRY_IMAGE:$CI_COMMIT_SHA\""),
        "docker push --quiet \"$CI_REGISTRY_IMAGE:$CI_COMMIT_SHA\"",
        "docker pull --quiet \"$CI_REGISTRY_IMAGE:latest\" 2>pull.err || grep -Ei 'manifest unknown|not found' pull.err",
        &format!("docker tag {image} \"$CI_REGISTRY_IMAGE:latest\""),
        "docker push --quiet \"$CI_REGISTRY_IMAGE:latest\"",
        &format!("{DIGESTS} \"$CI_REGISTRY_IMAGE:latest\" | sed 's/^/digest /'"),
    ];
    let result = host.run(&project.with_login(project.job("delivery", deliver)));
    assert_says(&result.assert_success().shown_text(), &[&format!("digest {image}\n")]);
    let tags = project.tags().await;
    for tag in ["test", "latest", &project.sha] {
        assert_eq!(tags[tag], digest, "{tag}");
    }
    await_images(&project, &[format!("{}:latest@{digest}", project.repository)]);

    let name = |tag: &str| vec![format!("{}:{tag}", project.repository)];
    let (whole, commit) = (Some(image.clone()), name(&project.sha));
    let deed = |deed: &str, names: Vec<String>, digest: &Option<String>| {
        (deed.to_owned(), names, digest.clone())
    };
    let expected = [
        deed("built", name("test"), &None),
        deed("pushed", name("test"), &whole),
        deed("pulled", vec![image.clone()], &whole),
        deed("pulled", vec![image.clone()], &whole),
        deed("tagged", commit.clone(), &None),
        deed("pushed", commit, &whole),
        deed("tagged", name("latest"), &None),
        deed("pushed", name("latest"), &whole),
    ];
    assert_eq!(images(&host), expected);
    assert!(!host.ledger().contains(&project.password));
}

#[test]
fn a_prune_knows_by_the_ledger_which_images_of_a_build_are_the_pipelines() {
    let (host, project) = (Host::brokered().table("[prune]\n"), RegistryProject::new());
    let built = build(&host, &project);
    assert!(built.starts_with(&project.repository), "{built}");
    let stages: Vec<String> = host
        .ledger()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["deed"] == "built")
        .flat_map(|event| event["images"].as_array().unwrap().clone())
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(stages.len(), 2, "{stages:?}");
    assert!(stages.iter().all(|id| is_there(id)), "{stages:?}");
    let deliver = [
        "docker tag \"$CI_REGISTRY_IMAGE:test\" \"$CI_REGISTRY_IMAGE:latest\"",
        "docker push --quiet \"$CI_REGISTRY_IMAGE:latest\"",
    ];
    host.run(&project.with_login(project.job("delivery", deliver))).assert_success();
    // The image without a name, which tells nothing of itself, is gone; the other one is `latest`.
    let deadline = Instant::now() + Duration::from_secs(30);
    while stages.iter().filter(|id| is_there(id)).count() > 1 {
        assert!(Instant::now() < deadline, "{stages:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(project.on_daemon().len(), 1, "{:?}", project.on_daemon());
}

fn is_there(image: &str) -> bool {
    let mut docker = std::process::Command::new("docker");
    docker.args(["-H", &crate::support::real::docker_host(), "image", "inspect", image]);
    docker.output().unwrap().status.success()
}

/// Tags an image and tries to push it under each name; tells which went.
fn tries(project: &RegistryProject, host: &Host, stage: &str, names: &[&str]) -> JobResult {
    let mut script = vec![
        "printf '%s\\n' 'FROM longshore-test/busybox:1' \"RUN echo $CI_JOB_ID >/word\" >Dockerfile"
            .to_owned(),
        "docker build --quiet --tag mine:1 .".to_owned(),
    ];
    for name in names {
        script.push(format!("docker tag mine:1 {name} || true"));
        script.push(format!(
            "docker push --quiet {name} >/dev/null 2>&1 && echo pushed {name} || true"
        ));
    }
    host.run(&project.with_login(project.job(stage, script)))
}

#[tokio::test]
async fn each_stage_pushes_its_own_tags_and_nothing_else() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    let repository = &project.repository;
    let tag = |tag: &str| format!("{repository}:{tag}");
    let names = [
        tag("test"),
        tag("latest"),
        tag(&project.sha),
        tag("v1"),
        format!("{repository}/sub:test"),
        format!("{repository}-other:test"),
        format!("{}/other/project:test", project.registry),
        "127.0.0.1:9/app:test".to_owned(),
    ];
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    for (stage, may) in [
        ("build", vec![&names[0], &names[4]]),
        ("test", vec![]),
        ("delivery", vec![&names[1], &names[2]]),
    ] {
        let trace = tries(&project, &host, stage, &all).assert_success().shown_text();
        let pushed: Vec<&str> =
            trace.lines().filter_map(|line| line.strip_prefix("pushed ")).collect();
        assert_eq!(pushed, may, "{stage}: {trace}");
        assert_says(
            &trace,
            &[
                "longshore: the Docker broker refused a request [push]: a job of this stage may push",
            ],
        );
        assert_says(&trace, &["(push in [broker])", "[image-name]"]);
    }
    let mut tags: Vec<String> = project.tags().await.into_keys().collect();
    tags.sort();
    let mut expected = ["latest".to_owned(), project.sha.clone(), "test".to_owned()];
    expected.sort();
    assert_eq!(tags, expected);
    assert_eq!(images(&host).iter().filter(|(deed, ..)| deed == "pushed").count(), 4);
    assert!(refused(&host, "push") >= 3, "{}", host.ledger());
}

#[test]
fn every_refusal_is_a_line_of_the_job_log_and_an_event_of_the_ledger() {
    let (host, project) = (Host::brokered(), RegistryProject::new());
    let script = [
        "touch Dockerfile; docker run --privileged longshore-test/busybox:1 true",
        "docker run -v /etc:/etc longshore-test/busybox:1 true",
        "docker run --network host longshore-test/busybox:1 true",
        "docker run --restart always longshore-test/busybox:1 true",
        "docker pull alpine:3",
        "docker tag longshore-test/busybox:1 127.0.0.1:9/x:1",
        "docker push \"$CI_REGISTRY_IMAGE:v9\"",
        "docker search word",
        "tar -cf - Dockerfile | docker load",
        "docker swarm init",
        "docker volume create --driver other x",
        "docker network create --driver macvlan x",
        "docker login -u a -p b 127.0.0.1:9",
        // The same again is no news.
        "docker run --privileged longshore-test/busybox:1 true",
    ];
    let tried = script.map(|line| format!("{line} && echo got through || true"));
    let result = host.run(&project.with_login(project.job("build", tried)));
    let trace = result.assert_success().shown_text();
    assert!(!trace.lines().any(|line| line == "got through"), "{trace}");
    let told: Vec<&str> = trace
        .lines()
        .filter_map(|line| line.strip_prefix("longshore: the Docker broker refused a request ["))
        .collect();
    assert_eq!(told.len(), script.len() - 1, "{told:#?}");
    let ledger = host.ledger();
    let events = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let written: Vec<String> = events
        .filter(|event| event["event"] == "refused")
        .map(|event| {
            format!("{}]: {}", event["rule"].as_str().unwrap(), event["message"].as_str().unwrap())
        })
        .collect();
    assert_eq!(written, told);
}
