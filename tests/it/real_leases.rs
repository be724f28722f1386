//! Leased secrets in whole jobs: as many revocations as logins, whoever was killed in between.

use std::process::Output;
use std::time::Duration;

use longshore::secrets::vault::VaultSettings;
use serde_json::json;

use crate::support::bao::Bao;
use crate::support::fake_vault::{FakeVault, LOGIN, MOUNT, REVOKED, Reply};
use crate::support::job_json::FakeJob;
use crate::support::real::{Host, assert_says, await_gone, busybox, docker_host, stderr};
use crate::support::running::JobStatus;
use crate::support::waiting::await_that;

const SOON: Duration = Duration::from_mins(1);

/// A host with this server, on which every job gets the secret `LEASED`.
fn host(vault: &VaultSettings, path: &str) -> Host {
    Host::new()
        .in_memory()
        .vault(vault)
        .table(&format!("[secrets.LEASED]\npath = \"{path}\"\nprojects = \"**\"\ndefault = true\n"))
}

async fn leasing() -> (Bao, Host) {
    let bao = Bao::start_leasing();
    bao.admin("POST", "secret/app/db", json!({"value": "leased-value", "ttl": "1h"})).await;
    let policy = "path \"secret/app/*\" { capabilities = [\"read\"] }";
    // Longer than any of it takes, and soon over where the server is away.
    let deadline = Duration::from_secs(10);
    let settings = VaultSettings { deadline, ..bao.role("", policy, json!({})).await };
    let host = host(&settings, "secret/app/db#value");
    (bao, host)
}

/// `reap` says nothing of tokens that it could not end. It may fail for what other tests left or use.
fn assert_no_token_is_left(reaped: &Output) {
    assert!(!stderr(reaped).contains("token"), "{reaped:?}");
}

/// Waits until so many tokens have ended, all there were. A token's file goes once the server knows the token no
/// more, and the server says that it has ended when all that hung on it has: where it was not heard of in time, on
/// a busy host, and asked once more, that is later.
fn await_ended(bao: &Bao, host: &Host, tokens: usize) {
    await_that("the end of the tokens", || host.kept_tokens().is_empty());
    await_that("the server's word", || bao.logins_and_revokes() == (tokens, tokens));
}

#[tokio::test]
async fn a_leased_secret_lives_as_long_as_its_job() {
    let (bao, host) = leasing().await;
    let job = busybox(["echo \"length=${#LEASED} $LEASED\"", "sleep 300"]);
    let running = host.runner().start(&job);
    running.wait_for_output("\nlength=12 [MASKED]", SOON);
    assert_eq!(bao.logins_and_revokes(), (1, 0));
    assert_eq!(host.kept_tokens().len(), 1);
    running.cancel();
    assert_eq!(running.join().status, JobStatus::Canceled);
    await_ended(&bao, &host, 1);
    await_gone(&job);
}

#[tokio::test]
async fn a_prepare_that_fails_ends_what_it_leased_before_any_cleanup() {
    let (bao, host) = leasing().await;
    let job = busybox(["true"]).image("longshore-test/noshell:1");
    let output = host.call(&job, &["prepare"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_says(&String::from_utf8_lossy(&output.stderr), &["has no shell"]);
    assert_eq!((bao.logins_and_revokes(), host.kept_tokens().len()), ((1, 1), 0));
}

/// A container that is made anew has nothing of the first one's secrets: it logs in again, and each login
/// ends with the job.
#[tokio::test]
async fn a_second_prepare_logs_in_again_and_cleanup_ends_both() {
    let (bao, host) = leasing().await;
    let job = busybox(["true"]);
    for prepared in 1..=2 {
        let output = host.call(&job, &["prepare"]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!((bao.logins_and_revokes(), host.kept_tokens().len()), ((prepared, 0), prepared));
    }
    let output = host.call(&job, &["cleanup"]);
    assert!(output.status.success(), "{output:?}");
    await_ended(&bao, &host, 2);
    await_gone(&job);
}

#[tokio::test]
async fn when_runner_and_driver_are_killed_reap_ends_the_lease() {
    let (bao, host) = leasing().await;
    let job = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().own_process().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let driver = running.wait_for_call("run build_script", SOON);
    let held = host.reap(&["--plan"]);
    assert!(!String::from_utf8_lossy(&held.stdout).contains("token"), "its runner lives: {held:?}");
    running.kill_runner_and_driver(driver);
    running.join().assert_ended(JobStatus::Lost, "");
    let plan = host.reap(&["--plan"]);
    let words = ["would revoke Vault token ", "its runner is gone"];
    assert_says(&String::from_utf8_lossy(&plan.stdout), &words);
    assert_eq!(bao.logins_and_revokes(), (1, 0), "a plan ends nothing");
    let reaped = host.reap(&["--json"]);
    assert_no_token_is_left(&reaped);
    assert_says(&String::from_utf8_lossy(&reaped.stdout), &["\"revoke\":[{\"accessor\":\""]);
    assert_eq!((bao.logins_and_revokes(), host.kept_tokens().len()), ((1, 1), 0));
    await_gone(&job);
}

/// The narrowest place: logged in, nothing read yet, and everybody is killed.
#[tokio::test]
async fn when_prepare_is_killed_after_its_login_reap_ends_the_token() {
    let server = FakeVault::start(|line, _| match line {
        "POST /v1/auth/approle/login" => LOGIN,
        "GET /v1/kv/app" => Reply::Hang,
        "POST /v1/auth/token/revoke-self" => REVOKED,
        _ => MOUNT,
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let host = host(&server.settings(directory.path()), "kv/app#value");
    // The server lives on this thread.
    let host = tokio::task::spawn_blocking(move || {
        let running = host.runner().own_process().start(&busybox(["true"]));
        let driver = running.wait_for_call("prepare", SOON);
        await_that("the login", || !host.kept_tokens().is_empty());
        running.kill_runner_and_driver(driver);
        running.join().assert_ended(JobStatus::Lost, "");
        assert_eq!(host.kept_tokens().len(), 1);
        host
    })
    .await
    .unwrap();
    let revoked = |server: &FakeVault| {
        server.texts().iter().filter(|text| text.contains("/revoke-self")).count()
    };
    assert_eq!(revoked(&server), 0);
    let mut reap = host.bare(&["reap"]);
    let reaped = tokio::task::spawn_blocking(move || reap.output().unwrap()).await.unwrap();
    assert_no_token_is_left(&reaped);
    assert_eq!((revoked(&server), host.kept_tokens().len()), (1, 0));
    let told = format!("{}{}", String::from_utf8_lossy(&reaped.stdout), server.texts().len());
    assert!(!told.contains("fake-token"), "{told}");
}

/// The server is away when the job ends: the accessor is told in the ledger, and `reap` tries again.
#[tokio::test]
async fn a_token_that_cleanup_could_not_end_is_pending() {
    let (bao, host) = leasing().await;
    let job: FakeJob = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().own_process().start(&job);
    running.wait_for_output("\nbegun", SOON);
    bao.admin("POST", "sys/seal", json!({})).await;
    running.cancel();
    assert_eq!(running.join().status, JobStatus::Canceled);
    await_gone(&job);
    await_that("the end of the cleanup", || host.ledger().contains("\"event\":\"removed\""));
    assert_says(
        &host.ledger(),
        &["the Vault token with accessor", "could not be revoked", "sealed"],
    );
    assert_eq!((bao.logins_and_revokes(), host.kept_tokens().len()), ((1, 0), 1));
    let failed = host.reap(&[]);
    assert!(!failed.status.success(), "{failed:?}");
    assert_says(&stderr(&failed), &["the Vault token with accessor", "could not be revoked"]);
    bao.unseal().await;
    let reaped = host.reap(&[]);
    assert_no_token_is_left(&reaped);
    assert_eq!((bao.logins_and_revokes(), host.kept_tokens().len()), ((1, 1), 0));
}

/// Docker is away too: what it keeps has to wait for it, the token has not.
#[tokio::test]
async fn reap_ends_a_token_though_docker_does_not_answer() {
    let (bao, host) = leasing().await;
    let job: FakeJob = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().own_process().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let driver = running.wait_for_call("run build_script", SOON);
    running.kill_runner_and_driver(driver);
    running.join().assert_ended(JobStatus::Lost, "");
    let host = host.docker("host", "\"unix:///nonexistent/docker.sock\"");
    let plan = host.reap(&["--plan"]);
    assert_says(&String::from_utf8_lossy(&plan.stdout), &["would revoke Vault token "]);
    assert_eq!(bao.logins_and_revokes(), (1, 0), "a plan ends nothing");
    let reaped = host.reap(&[]);
    assert!(!reaped.status.success(), "{reaped:?}");
    assert_says(&stderr(&reaped), &["/nonexistent/docker.sock"]);
    assert_no_token_is_left(&reaped);
    assert_eq!((bao.logins_and_revokes(), host.kept_tokens().len()), ((1, 1), 0));
    let host = host.docker("host", &format!("{:?}", docker_host()));
    assert_no_token_is_left(&host.reap(&[]));
    await_gone(&job);
}
