//! Sources and artifacts as jobs ask for them, with git and HTTP from outside.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use longshore::pipeline::artifact_store::ArtifactStore;
use longshore::pipeline::git_http::GitRepository;
use longshore::pipeline::server::{Served, bind, serve};
use tokio::process::Command;

use super::local_support::{HOST_DRIVER, Place};

async fn served(place: &Place) -> SocketAddr {
    let store = ArtifactStore::new(place.path("tmp"));
    store.admit("good", 7);
    store.admit("other", 8);
    let repository = GitRepository { directory: place.path("project"), world: place.world() };
    let served = Served { store: Arc::new(store), repository, project: "group/project".to_owned() };
    let (listener, address) = bind("127.0.0.1".parse().unwrap()).await.unwrap();
    tokio::spawn(serve(listener, Arc::new(served)));
    address
}

async fn git(directory: &Path, words: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args(words)
        .current_dir(directory)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}

#[tokio::test]
async fn an_exact_commit_is_fetched_with_the_token_of_a_running_job_only() {
    let place = Place::new("{}", HOST_DRIVER);
    let (_, first) = git(&place.path("project"), &["rev-parse", "HEAD"]).await;
    place.git(&[
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "2",
    ]);
    let address = served(&place).await;
    let clone = place.path("clone");
    std::fs::create_dir(&clone).unwrap();
    assert!(git(&clone, &["init", "-q", "."]).await.0);
    let fetch = async |user: &str| {
        let url = format!("http://{user}{address}/group/project.git");
        git(&clone, &["fetch", "-q", "--depth", "1", &url, &first]).await
    };
    for user in ["gitlab-ci-token:bad@", ""] {
        let (fetched, said) = fetch(user).await;
        assert!(!fetched, "{user}");
        assert!(!said.is_empty());
    }
    let (fetched, said) = fetch("gitlab-ci-token:good@").await;
    assert!(fetched, "{said}");
    assert_eq!(git(&clone, &["rev-parse", "FETCH_HEAD"]).await.1, first);
    let push = format!("http://gitlab-ci-token:good@{address}/group/project.git");
    let (pushed, said) = git(&place.path("project"), &["push", &push, "HEAD:x"]).await;
    assert!(!pushed && said.contains("403"), "{said}");
}

#[tokio::test]
async fn artifacts_are_written_by_their_own_job_and_read_by_any() {
    let place = Place::new("{}", HOST_DRIVER);
    let address = served(&place).await;
    std::fs::write(place.path("a.zip"), b"\r\n--PK\0").unwrap();
    let curl = async |token: &str, job: u64, more: &[&str]| {
        let url = format!("http://{address}/api/v4/jobs/{job}/artifacts?artifact_type=archive");
        let header = format!("JOB-TOKEN: {token}");
        let words = ["-s", "-o", "body", "-w", "%{http_code}", "-H", &header, &url];
        let output =
            Command::new("curl").args(words).args(more).current_dir(place.path("")).output();
        String::from_utf8(output.await.unwrap().stdout).unwrap()
    };
    let upload = ["-F", "file=@a.zip"];
    assert_eq!(curl("bad", 7, &upload).await, "403");
    assert_eq!(curl("other", 7, &upload).await, "403");
    assert_eq!(curl("good", 7, &[]).await, "404");
    assert_eq!(curl("good", 7, &["-d", "nothing"]).await, "400");
    assert_eq!(curl("good", 7, &upload).await, "201");
    assert_eq!(curl("bad", 7, &[]).await, "403");
    assert_eq!(curl("other", 7, &[]).await, "200");
    assert_eq!(std::fs::read(place.path("body")).unwrap(), b"\r\n--PK\0");
}
