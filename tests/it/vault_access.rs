//! The way to a real server: credentials, TLS, namespaces, the seal, and the end of the token.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use longshore::secrets::Secret;
use longshore::secrets::vault::{AppRole, Lockout, RoleId, SecretId, VaultSettings};
use serde_json::json;

use crate::support::bao::{Bao, provider, write_private};
use crate::support::vault::{
    POLICY, assert_says, fetch, furnish, furnished, refusal, values, wanted,
};

#[tokio::test]
async fn bad_credentials_are_tried_once() {
    let (bao, mut settings) = furnished().await;
    let good = std::fs::read_to_string(bao.path("secret_id")).unwrap();
    bao.admin("POST", "auth/approle/role/demo/secret-id/destroy", json!({"secret_id": good})).await;
    let words = [
        "log in by auth/approle/login",
        "400",
        "invalid role or secret ID",
        "expired, used up or destroyed",
    ];
    let error = refusal(&settings, wanted("kv/app/demo", "api_key")).await;
    assert_says(&error, false, &words);
    assert!(error.to_string().contains(bao.path("secret_id").to_str().unwrap()), "{error}");
    assert!(!error.to_string().contains(&good), "{error}");

    bao.admin("POST", "auth/approle/role/demo", json!({"secret_id_num_uses": 1})).await;
    bao.new_secret_id("", &bao.path("secret_id")).await;
    fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    assert_says(&refusal(&settings, wanted("kv/app/demo", "api_key")).await, false, &words);

    settings.approle.role_id = RoleId::Value(Secret::new("0123-no-such-role"));
    assert_says(&refusal(&settings, wanted("kv/app/demo", "api_key")).await, false, &words);
    assert_eq!(bao.audited("auth/approle/login").len(), 4);
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn a_locked_out_role_is_told() {
    let (bao, settings) = furnished().await;
    let good = std::fs::read_to_string(bao.path("secret_id")).unwrap();
    write_private(&bao.path("secret_id"), "not-the-secret-id");
    for _ in 0..6 {
        refusal(&settings, wanted("kv/app/demo", "api_key")).await;
    }
    write_private(&bao.path("secret_id"), &good);
    let error = refusal(&settings, wanted("kv/app/demo", "api_key")).await;
    assert_says(&error, false, &["403", "locked out after repeated bad logins"]);
}

#[tokio::test]
async fn a_refused_host_does_not_try_again_with_the_same_secret_id() {
    let (bao, mut settings) = furnished().await;
    settings.lockout = Some(lockout(bao.path("lockout")));
    let good = std::fs::read_to_string(bao.path("secret_id")).unwrap();
    write_private(&bao.path("secret_id"), "not-the-secret-id");
    let secret = wanted("kv/app/demo", "api_key");
    let error = refusal(&settings, secret.clone()).await;
    assert_says(&error, false, &["invalid role or secret ID"]);
    for _ in 0..10 {
        let error = refusal(&settings, secret.clone()).await;
        assert_says(&error, false, &["no login at auth/approle/login", "lock the role"]);
    }
    assert_eq!(bao.audited("auth/approle/login").len(), 1);
    let marker = std::fs::read_to_string(bao.path("lockout")).unwrap();
    assert!(!marker.contains("not-the-secret-id"), "{marker}");

    write_private(&bao.path("secret_id"), &good);
    fetch(&settings, std::slice::from_ref(&secret)).await.unwrap();
    assert!(!bao.path("lockout").exists());
    settings.lockout = Some(lockout(bao.path("no such directory/lockout")));
    write_private(&bao.path("secret_id"), "not-the-secret-id");
    let error = refusal(&settings, secret).await;
    assert_says(&error, false, &["invalid role or secret ID", "could not be written"]);
}

fn lockout(marker: PathBuf) -> Lockout {
    Lockout { marker, clock: std::time::SystemTime::now }
}

#[tokio::test]
async fn role_id_from_a_file() {
    let (bao, mut settings) = furnished().await;
    let RoleId::Value(role_id) = &settings.approle.role_id else { panic!() };
    let path = bao.path("role_id");
    write_private(&path, &format!("{}\n", std::str::from_utf8(role_id.expose()).unwrap()));
    settings.approle.role_id = RoleId::File(path);
    let fetched = fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    assert_eq!(values(&fetched), ["second-value"]);
}

#[tokio::test]
async fn a_sealed_server_is_waited_for_until_the_deadline() {
    let (bao, mut settings) = furnished().await;
    bao.admin("POST", "sys/seal", json!({})).await;
    settings.deadline = Duration::from_millis(700);
    let begin = Instant::now();
    let error = refusal(&settings, wanted("kv/app/demo", "api_key")).await;
    assert_says(&error, false, &["503", "Vault is sealed", "unseal", "tries", "vault.deadline"]);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn only_the_named_authority_is_trusted() {
    let bao = Bao::start_tls();
    let mut settings = furnish(&bao, "", json!({})).await;
    settings.ca_file = Some(bao.path("vault-ca.pem"));
    let fetched = fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    assert_eq!(values(&fetched), ["second-value"]);
    assert_eq!(bao.logins_and_revokes(), (1, 1));

    let other = Bao::start_tls();
    settings.ca_file = Some(other.path("vault-ca.pem"));
    let begin = Instant::now();
    let error = refusal(&settings, wanted("kv/app/demo", "api_key")).await;
    assert_says(&error, false, &["TLS fails", "certificate", "vault.ca_file"]);
    assert!(!error.to_string().contains("tries"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());

    settings.ca_file = Some(bao.path("secret_id"));
    assert_says(
        &refusal(&settings, wanted("kv/app/demo", "a")).await,
        false,
        &["no certificate in PEM"],
    );
    settings.ca_file = Some(bao.path("absent.pem"));
    assert_says(
        &refusal(&settings, wanted("kv/app/demo", "a")).await,
        false,
        &["absent.pem", "cannot be read"],
    );
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

/// The system's authorities come from the environment, so this needs processes of its own.
#[tokio::test]
async fn a_named_authority_replaces_the_systems() {
    let (bao, other) = (Bao::start_tls(), Bao::start_tls());
    let settings = furnish(&bao, "", json!({})).await;
    let RoleId::Value(role_id) = &settings.approle.role_id else {
        panic!("the role id is a value");
    };
    write_private(&bao.path("role_id"), std::str::from_utf8(role_id.expose()).unwrap());
    let child = |named: Option<&Bao>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", "vault_access::as_a_child"]);
        command.env("SSL_CERT_FILE", bao.path("vault-ca.pem"));
        command.env("TEST_ADDRESS", bao.address()).env("TEST_ROLE_ID", bao.path("role_id"));
        command.env("TEST_SECRET_ID", bao.path("secret_id"));
        named.map(|named| command.env("TEST_CA", named.path("vault-ca.pem")));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(child(None).contains("fetched 1"), "{}", child(None));
    let text = child(Some(&other));
    assert!(text.contains("TLS fails") && text.contains("only the authorities in"), "{text}");
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
#[ignore = "is started by a_named_authority_replaces_the_systems"]
async fn as_a_child() {
    provider();
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    let approle = AppRole {
        mount: "approle".into(),
        role_id: RoleId::File(path("TEST_ROLE_ID").unwrap()),
        secret_id: SecretId::File(path("TEST_SECRET_ID").unwrap()),
    };
    let mut settings = VaultSettings::new(std::env::var("TEST_ADDRESS").unwrap(), approle);
    settings.ca_file = path("TEST_CA");
    match fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await {
        Ok(fetched) => println!("fetched {}", fetched.secrets.len()),
        Err(error) => println!("{error}"),
    }
}

#[tokio::test]
async fn tls_to_a_server_that_speaks_none() {
    let (bao, mut settings) = furnished().await;
    settings.address = bao.address().replace("http://", "https://");
    settings.ca_file = Some({
        let other = Bao::start_tls();
        let pem = std::fs::read_to_string(other.path("vault-ca.pem")).unwrap();
        write_private(&bao.path("ca.pem"), &pem);
        bao.path("ca.pem")
    });
    let error = refusal(&settings, wanted("kv/app/demo", "api_key")).await;
    assert_says(&error, false, &["does not speak TLS"]);
}

#[tokio::test]
async fn namespaces() {
    let bao = Bao::start();
    bao.admin("POST", "sys/namespaces/team1", json!({})).await;
    let mut settings = furnish(&bao, "team1", json!({})).await;
    settings.namespace = Some("team1/".into());
    let fetched = fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    assert_eq!(values(&fetched), ["second-value"]);
    settings.namespace = None;
    let error = refusal(&settings, wanted("kv/app/demo", "api_key")).await;
    assert_says(&error, false, &["log in by auth/approle/login", "vault.namespace is not set"]);
    settings.namespace = Some("team2".into());
    let error = refusal(&settings, wanted("kv/app/demo", "api_key")).await;
    assert_says(&error, false, &["namespace \"team2\"", "check vault.namespace"]);
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_or_told() {
    let (bao, mut settings) = furnished().await;
    let secret = wanted("kv/app/demo", "api_key");
    let quota = json!({"path": "auth/approle", "rate": 1, "interval": "2s"});
    bao.admin("POST", "sys/quotas/rate-limit/test", quota).await;
    for _ in 0..2 {
        fetch(&settings, std::slice::from_ref(&secret)).await.unwrap();
    }
    assert_eq!(bao.logins_and_revokes(), (2, 2));
    // From here on none comes back while the test runs, however long that takes.
    let quota = json!({"path": "auth/approle", "rate": 1, "interval": "1h"});
    bao.admin("POST", "sys/quotas/rate-limit/test", quota).await;
    fetch(&settings, std::slice::from_ref(&secret)).await.unwrap();
    settings.deadline = Duration::from_millis(300);
    let error = refusal(&settings, secret).await;
    assert_says(
        &error,
        false,
        &["log in by auth/approle/login", "429", "rate limit", "vault.deadline"],
    );
}

#[tokio::test]
async fn a_batch_token_is_warned_of() {
    let bao = Bao::start();
    let settings = furnish(&bao, "", json!({"token_type": "batch"})).await;
    let fetched = fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    assert_eq!(values(&fetched), ["second-value"]);
    assert!(fetched.warnings[0].contains("batch token") && fetched.warnings[0].contains("1200 s"));
}

#[tokio::test]
async fn a_refused_revocation_is_a_warning_with_the_accessor() {
    let bao = Bao::start();
    let settings = furnish(&bao, "", json!({"token_no_default_policy": true})).await;
    let mounts = "path \"sys/internal/ui/mounts/*\" { capabilities = [\"read\"] }";
    bao.admin("PUT", "sys/policies/acl/demo", json!({"policy": format!("{POLICY}{mounts}")})).await;
    let fetched = fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    let warning = &fetched.warnings[0];
    let (_, accessor) = warning.rsplit_once("-accessor ").unwrap();
    bao.admin("POST", "auth/token/revoke-accessor", json!({"accessor": accessor})).await;
    let error = refusal(&settings, wanted("kv/app/demo", "wrong")).await;
    assert_says(&error, true, &["no field", "besides", "could not be revoked", "403"]);
}

/// Not only a figure: a round is four requests on one connection, so a bare client is no faster by much.
#[tokio::test]
async fn a_full_round_costs_what_its_requests_cost() {
    const ROUNDS: usize = 20;
    let (bao, settings) = furnished().await;
    let secret = [wanted("kv/app/demo", "api_key")];
    let secret_id = std::fs::read_to_string(bao.path("secret_id")).unwrap();
    let RoleId::Value(role_id) = &settings.approle.role_id else {
        panic!("the role id is a value");
    };
    let role_id = std::str::from_utf8(role_id.expose()).unwrap();
    let login = json!({"role_id": role_id, "secret_id": secret_id});
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        fetch(&settings, &secret).await.unwrap();
        ours.push(begin.elapsed());
        let begin = Instant::now();
        bao.bare_round(&login).await;
        bare.push(begin.elapsed());
    }
    ours.sort_unstable();
    bare.sort_unstable();
    let (ours, bare) = (ours[ROUNDS / 2], bare[ROUNDS / 2]);
    println!("login, find, read, revoke: {ours:?} a round, bare client {bare:?}");
    assert!(ours < bare * 3, "{ours:?}, bare client {bare:?}");
    assert_eq!(bao.logins_and_revokes(), (2 * ROUNDS, 2 * ROUNDS));
}

/// As many jobs at once as a large host starts: none loses its revocation or locks the role out.
#[tokio::test]
async fn twenty_jobs_at_once() {
    let (bao, settings) = furnished().await;
    let list = [wanted("kv/app/demo", "api_key"), wanted("kv1/app/demo", "db")];
    let jobs = (0..20).map(|_| fetch(&settings, &list));
    for fetched in futures_util::future::join_all(jobs).await {
        assert_eq!(values(&fetched.unwrap()), ["second-value", "db-value"]);
    }
    assert_eq!(bao.logins_and_revokes(), (20, 20));
}
