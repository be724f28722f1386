//! Leased secrets: their token is kept in memory, renewed while the job runs, and ended with all its
//! leases, though the server or we ourselves die in between.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use longshore::plan::owner::{Moment, Owner};
use longshore::plan::{KvVersion, SecretRef};
use longshore::secrets::SecretSource as _;
use longshore::secrets::vault::{Holder, Keeping, Vault, VaultSettings, kept_below};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::bao::Bao;
use crate::support::fake_vault::{FakeVault, LOGIN, MOUNT, REVOKED, Reply, SECRET};
use crate::support::vault::{assert_says, values, wanted};

const LEASES: &str = "path \"secret/*\" { capabilities = [\"read\"] }";

fn memory() -> TempDir {
    TempDir::with_prefix_in("longshore-test-run-", "/dev/shm").unwrap()
}

fn keeping(run_dir: &TempDir) -> Keeping {
    let owner =
        Owner { boot_id: "boot".into(), pid_namespace: "pid:[1]".into(), pid: 1, start_time: 1 };
    let run_dir = run_dir.path().to_owned();
    let holder =
        Holder { job: "7-ab".into(), owner, deadline: Moment { unix: u64::MAX, uptime: u64::MAX } };
    Keeping { holder, run_dir, clock: SystemTime::now }
}

fn of_job(settings: &VaultSettings, run_dir: &TempDir) -> Vault {
    Vault::new(settings.clone()).keeping(keeping(run_dir))
}

fn files(run_dir: &TempDir) -> Vec<PathBuf> {
    kept_below(run_dir.path()).into_iter().map(|(path, _)| path).collect()
}

/// What this server gives without a lease: its every key-value mount leases.
fn unleased(field: &str) -> SecretRef {
    SecretRef { kv: Some(KvVersion::Raw), ..wanted("sys/policies/acl/demo", field) }
}

/// A server that leases `secret/app/db` for `ttl`, and a role.
async fn leasing(ttl: &str, role: Value) -> (Bao, VaultSettings) {
    let bao = Bao::start_leasing();
    let fields = json!({"value": "leased-value", "ttl": ttl});
    bao.admin("POST", "secret/app/db", fields).await;
    bao.admin("POST", "secret/app/forever", json!({"value": "unrenewable-value"})).await;
    let policy =
        format!("{LEASES}\npath \"sys/policies/acl/demo\" {{ capabilities = [\"read\"] }}");
    let settings = bao.role("", &policy, role).await;
    (bao, settings)
}

/// Waits for an event that the server tells of; it revokes leases a moment after their token.
async fn await_that(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !happened().await {
        assert!(Instant::now() < deadline, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn await_no_lease(bao: &Bao) {
    await_that("the end of the lease", async || {
        bao.listed("sys/leases/lookup/secret/app/db").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_leases_token_is_kept_and_ends_with_the_job() {
    let (bao, settings) = leasing("1h", json!({})).await;
    let run_dir = memory();
    let list = [wanted("secret/app/db", "value"), unleased("name")];
    let fetched = of_job(&settings, &run_dir).fetch(&list).await.unwrap();
    assert_eq!(values(&fetched), ["leased-value", "demo"]);
    assert_eq!(fetched.warnings, Vec::<String>::new());
    assert_eq!(bao.logins_and_revokes(), (1, 0));
    assert_eq!(bao.listed("sys/leases/lookup/secret/app/db").await.len(), 1);
    let kept = kept_below(run_dir.path());
    assert_eq!(kept[0].1.holder.job, "7-ab");
    let name = |lease: &longshore::secrets::vault::Lease| (lease.name.clone(), lease.term.seconds);
    assert_eq!(kept[0].1.leases.iter().map(name).collect::<Vec<_>>(), [("API_KEY".into(), 3600)]);
    let mode = std::fs::metadata(&kept[0].0).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777, 0o600);

    // By another process, which knows no more than the job.
    assert_eq!(of_job(&settings, &run_dir).release().await, Vec::<String>::new());
    assert_eq!(files(&run_dir), Vec::<PathBuf>::new());
    assert_eq!(bao.logins_and_revokes(), (1, 1));
    await_no_lease(&bao).await;
    assert_eq!(of_job(&settings, &run_dir).release().await, Vec::<String>::new());
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn without_leases_nothing_is_kept() {
    let (bao, settings) = leasing("1h", json!({})).await;
    let run_dir = memory();
    let list = [unleased("name")];
    of_job(&settings, &run_dir).fetch(&list).await.unwrap();
    assert_eq!(files(&run_dir), Vec::<PathBuf>::new());
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn a_lease_does_not_outlive_a_fetch_that_fails() {
    let (bao, settings) = leasing("1h", json!({})).await;
    let run_dir = memory();
    let list = [wanted("secret/app/db", "value"), unleased("lost")];
    let error = of_job(&settings, &run_dir).fetch(&list).await.unwrap_err();
    assert_says(&error, true, &["no field \"lost\""]);
    assert_eq!(files(&run_dir), Vec::<PathBuf>::new());
    assert_eq!(bao.logins_and_revokes(), (1, 1));
    await_no_lease(&bao).await;
}

#[tokio::test]
async fn a_token_is_kept_in_memory_or_not_at_all() {
    let (bao, settings) = leasing("1h", json!({})).await;
    let on_disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let list = [wanted("secret/app/db", "value")];
    let error = of_job(&settings, &on_disk).fetch(&list).await.unwrap_err();
    assert_says(&error, false, &["setting run_dir", "leased secrets", "is on a disk", "tmpfs"]);
    assert_eq!(files(&on_disk), Vec::<PathBuf>::new());
    await_no_lease(&bao).await;
    // Who has no leases needs no tmpfs.
    of_job(&settings, &on_disk).fetch(&[unleased("name")]).await.unwrap();
    assert_eq!(bao.logins_and_revokes(), (2, 2));
}

#[tokio::test]
async fn token_and_lease_are_renewed_while_the_job_runs() {
    let role = json!({"token_ttl": "3s", "token_max_ttl": "1h"});
    let (bao, settings) = leasing("3s", role).await;
    let run_dir = memory();
    let vault = of_job(&settings, &run_dir);
    vault.fetch(&[wanted("secret/app/db", "value")]).await.unwrap();
    let mut told = Vec::new();
    let lived = await_that("three renewals of each", async || {
        let renewed = |path: &str| bao.audited(path).len() >= 3;
        renewed("auth/token/renew-self") && renewed("sys/leases/renew")
    });
    tokio::select! {
        () = lived => {}
        never = vault.renew(|line| told.push(line)) => match never {},
    }
    assert_eq!(told, Vec::<String>::new());
    // Three renewals take longer than one term; without them both would be over.
    assert_eq!(bao.listed("sys/leases/lookup/secret/app/db").await.len(), 1);
    assert_eq!(vault.release().await, Vec::<String>::new());
    assert_eq!(bao.logins_and_revokes(), (1, 1));
    await_no_lease(&bao).await;
}

#[tokio::test]
async fn what_cannot_be_renewed_is_told_once_and_asked_for_no_more() {
    let role = json!({"token_ttl": "3s", "token_no_default_policy": true});
    let (bao, settings) = leasing("3s", role).await;
    let more = r#"path "sys/internal/ui/mounts/*" { capabilities = ["read"] }
        path "auth/token/revoke-self" { capabilities = ["update"] }"#;
    bao.admin("PUT", "sys/policies/acl/demo", json!({"policy": format!("{LEASES}{more}")})).await;
    let run_dir = memory();
    let vault = of_job(&settings, &run_dir);
    vault.fetch(&[wanted("secret/app/db", "value")]).await.unwrap();
    let told = std::cell::RefCell::new(Vec::new());
    let heard = await_that("a refusal", async || !told.borrow().is_empty());
    tokio::select! {
        () = heard => {}
        never = vault.renew(|line| told.borrow_mut().push(line)) => match never {},
    }
    let told = told.into_inner();
    for words in ["cannot renew the Vault token", "cannot renew the secret API_KEY", "403"] {
        assert!(told[0].contains(words), "{told:?}");
    }
    assert!(kept_below(run_dir.path()).iter().all(|(_, kept)| !kept.term.renewable));
    vault.release().await;
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn a_secret_that_ends_too_soon_is_warned_of() {
    let (bao, settings) = leasing("1h", json!({})).await;
    let run_dir = memory();
    for (unix, warnings) in [(u64::MAX, 1), (0, 0)] {
        let mut keeping = keeping(&run_dir);
        keeping.holder.deadline.unix = unix;
        let vault = Vault::new(settings.clone()).keeping(keeping);
        let fetched = vault.fetch(&[wanted("secret/app/forever", "value")]).await.unwrap();
        let told = fetched.warnings.iter().filter(|one| one.contains("API_KEY ends in"));
        assert_eq!(told.count(), warnings, "{:?}", fetched.warnings);
        vault.release().await;
    }
    assert_eq!(bao.logins_and_revokes(), (2, 2));
}

/// Certificates are issued by a write; certificate and key come with one, and its lease ends with the job.
#[tokio::test]
async fn a_certificate_is_issued_once_and_revoked_with_the_job() {
    let bao = Bao::start();
    bao.admin("POST", "sys/mounts/pki", json!({"type": "pki"})).await;
    let root = json!({"common_name": "Test", "ttl": "720h"});
    bao.admin("POST", "pki/root/generate/internal", root).await;
    let role = json!({"allowed_domains": "example.com", "allow_subdomains": true,
        "generate_lease": true, "key_type": "ec", "key_bits": 256, "ttl": "2h"});
    bao.admin("POST", "pki/roles/app", role).await;
    let policy = "path \"pki/issue/app\" { capabilities = [\"update\"] }";
    let settings = bao.role("", policy, json!({})).await;
    let issued = |field: Option<&str>, name: &str| SecretRef {
        field: field.map(str::to_owned),
        parameters: [("common_name".to_owned(), name.to_owned())].into(),
        ..wanted("pki/issue/app", "")
    };
    let run_dir = memory();
    let vault = of_job(&settings, &run_dir);
    let name = "app.example.com";
    let list = [issued(Some("certificate"), name), issued(Some("private_key"), name)];
    let fetched = vault.fetch(&list).await.unwrap();
    assert!(values(&fetched)[0].starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(values(&fetched)[1].starts_with("-----BEGIN EC PRIVATE KEY-----"));
    let warning = &fetched.warnings[0];
    assert!(
        warning.contains("API_KEY ends in") && warning.contains("cannot be renewed"),
        "{warning}"
    );
    let writes = bao.audited("pki/issue/app");
    assert_eq!(writes.iter().filter(|one| one["request"]["operation"] == "update").count(), 1);
    assert_eq!(bao.listed("sys/leases/lookup/pki/issue/app").await.len(), 1);
    assert_eq!(vault.release().await, Vec::<String>::new());
    await_that("the end of the certificate", async || {
        bao.listed("sys/leases/lookup/pki/issue/app").await.is_empty()
    })
    .await;

    let error = vault.fetch(&[issued(None, "evil.example.net")]).await.unwrap_err();
    assert_says(&error, false, &["issue pki/issue/app", "evil.example.net not allowed"]);
    bao.admin("POST", "sys/mounts/kv", json!({"type": "kv", "options": {"version": "2"}})).await;
    let policy = "path \"kv/*\" { capabilities = [\"read\", \"create\", \"update\"] }";
    bao.admin("PUT", "sys/policies/acl/demo", json!({"policy": policy})).await;
    let written = SecretRef { path: "kv/app".into(), ..issued(None, name) };
    assert_says(&vault.fetch(&[written]).await.unwrap_err(), true, &["kv/app lies in KV"]);
    assert_eq!(bao.logins_and_revokes(), (3, 3));
}

const LOGIN_LINE: &str = "POST /v1/auth/approle/login";
const READ_LINE: &str = "GET /v1/kv/app";
const REVOKE_LINE: &str = "POST /v1/auth/token/revoke-self";

/// A server on which all goes well but the first `failing` revocations.
async fn forgetful(secret: Reply, failing: usize) -> FakeVault {
    let secret = std::sync::Mutex::new(Some(secret));
    FakeVault::start(move |line, before| match line {
        LOGIN_LINE => LOGIN,
        READ_LINE => secret.lock().unwrap().take().unwrap(),
        REVOKE_LINE if before < failing => Reply::Answer(503, r#"{"errors":["Vault is sealed"]}"#),
        REVOKE_LINE => REVOKED,
        _ => MOUNT,
    })
    .await
}

fn revocations(server: &FakeVault) -> usize {
    server.lines().iter().filter(|line| *line == REVOKE_LINE).count()
}

/// Vault dies between the read and the revocation: the token is pending, and the next one ends it.
#[tokio::test]
async fn a_revocation_that_fails_is_tried_again_at_the_end() {
    let server = forgetful(SECRET, 6).await;
    let (dir, run_dir) = (tempfile::tempdir().unwrap(), memory());
    let settings = server.settings(dir.path());
    let vault = of_job(&settings, &run_dir);
    let fetched = vault.fetch(&[wanted("kv/app", "value")]).await.unwrap();
    for words in ["accessor fake-accessor could not be revoked", "tried again when the job ends"] {
        assert!(fetched.warnings[0].contains(words), "{:?}", fetched.warnings);
    }
    assert_eq!((files(&run_dir).len(), revocations(&server)), (1, 3));
    let left = vault.release().await;
    assert!(left[0].contains("fake-accessor") && !left[0].contains("fake-token"), "{left:?}");
    assert_eq!((files(&run_dir).len(), revocations(&server)), (1, 6));
    assert_eq!(vault.release().await, Vec::<String>::new());
    assert_eq!((files(&run_dir).len(), revocations(&server)), (0, 7));
    assert!(server.texts().last().unwrap().to_lowercase().contains("x-vault-token: fake-token"));
}

/// What cleanup's worker and `reap` write into the ledger and to stderr are these sentences.
#[tokio::test]
async fn what_is_told_of_a_kept_token_does_not_show_it() {
    const QUOTES: Reply = Reply::Answer(400, r#"{"errors":["cannot revoke fake-token"]}"#);
    let server = FakeVault::start(|line, _| match line {
        LOGIN_LINE => LOGIN,
        READ_LINE => SECRET,
        REVOKE_LINE => QUOTES,
        _ => MOUNT,
    })
    .await;
    let (dir, run_dir) = (tempfile::tempdir().unwrap(), memory());
    let vault = of_job(&server.settings(dir.path()), &run_dir);
    let fetched = vault.fetch(&[wanted("kv/app", "value")]).await.unwrap();
    for told in [fetched.warnings, vault.release().await] {
        assert!(told[0].contains("cannot revoke [MASKED]"), "{told:?}");
        assert!(told[0].contains("fake-accessor") && !told[0].contains("fake-token"), "{told:?}");
    }
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_forgotten_without_a_word() {
    let server = forgetful(SECRET, 3).await;
    let (dir, run_dir) = (tempfile::tempdir().unwrap(), memory());
    let settings = server.settings(dir.path());
    of_job(&settings, &run_dir).fetch(&[wanted("kv/app", "value")]).await.unwrap();
    let (path, kept) = kept_below(run_dir.path()).remove(0);
    let vault = of_job(&settings, &run_dir);
    vault.end(&path, &kept, kept.term.ends_unix() + 1).await.unwrap();
    assert_eq!((files(&run_dir).len(), revocations(&server)), (0, 3));
}

#[tokio::test]
async fn a_token_of_another_server_is_not_shown_to_this_one() {
    let server = forgetful(SECRET, 3).await;
    let (dir, run_dir) = (tempfile::tempdir().unwrap(), memory());
    let mut settings = server.settings(dir.path());
    of_job(&settings, &run_dir).fetch(&[wanted("kv/app", "value")]).await.unwrap();
    let other = FakeVault::start(|_, _| REVOKED).await;
    settings.address = other.address();
    let left = of_job(&settings, &run_dir).release().await;
    assert!(left[0].contains(&format!("is of {}", server.address())), "{left:?}");
    assert_eq!((files(&run_dir).len(), other.lines().len()), (1, 0));
}

/// As many jobs at once as a large host starts, each with a lease.
#[tokio::test]
async fn twenty_leased_jobs_at_once_lose_no_revocation() {
    let (bao, settings) = leasing("1h", json!({})).await;
    let run_dir = memory();
    let jobs: Vec<Vault> = (0..20)
        .map(|number| {
            let mut keeping = keeping(&run_dir);
            keeping.holder.job = format!("{number}-ab");
            Vault::new(settings.clone()).keeping(keeping)
        })
        .collect();
    let list = [wanted("secret/app/db", "value")];
    for fetched in join_all(jobs.iter().map(|job| job.fetch(&list))).await {
        assert_eq!(values(&fetched.unwrap()), ["leased-value"]);
    }
    assert_eq!((files(&run_dir).len(), bao.logins_and_revokes()), (20, (20, 0)));
    for left in join_all(jobs.iter().map(Vault::release)).await {
        assert_eq!(left, Vec::<String>::new());
    }
    assert_eq!((files(&run_dir).len(), bao.logins_and_revokes()), (0, (20, 20)));
    await_no_lease(&bao).await;
}
