//! `longshore vault rotate`: a new secret id proves itself before it takes the old one's place, and no
//! job notices.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use longshore::secrets::vault::{Lockout, VaultSettings};
use serde_json::json;

use crate::support::bao::Bao;
use crate::support::fake_vault::{FakeVault, LOGIN, REVOKED, Reply};
use crate::support::vault::{fetch, furnished, values, wanted};
use crate::support::vault_command::Person;

const ROLE: &str = "role = \"demo\"";
const SECRETS: &str = "[secrets]\nAPI_KEY = \"kv/app/demo#api_key\"";

fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// A person whose role may do what the printed policy says.
async fn rotating() -> (Bao, VaultSettings, Person) {
    let (bao, mut settings) = furnished().await;
    let person = Person::new(&settings, ROLE, SECRETS);
    let policy = person.vault(&["policy", "--rotate"]).await.stdout;
    bao.admin("PUT", "sys/policies/acl/demo", json!({ "policy": policy })).await;
    let marker = person.path("run/vault-lockout");
    settings.lockout = Some(Lockout { marker, clock: SystemTime::now });
    (bao, settings, person)
}

/// Whether the server still takes this secret id.
async fn logs_in(bao: &Bao, secret_id: &str) -> bool {
    let path = "auth/approle/role/demo/secret-id/lookup";
    let known = bao.admin("POST", path, json!({"secret_id": secret_id.trim()})).await;
    known["data"].is_object()
}

#[tokio::test]
async fn the_new_one_works_and_the_old_one_is_gone() {
    let (bao, settings, person) = rotating().await;
    let file = bao.path("secret_id");
    let old = content(&file);
    fs::write(bao.path("secret_id.new"), "of a call that was killed").unwrap();
    let ended = person.vault(&["rotate", "--json"]).await;
    let told = ended.json();
    assert_eq!((ended.code, &told["ok"], &told["warnings"]), (Some(0), &json!(true), &json!([])));
    let new = content(&file);
    assert!(new != old && !ended.stdout.contains(new.trim()), "{ended:?}");
    assert!(!logs_in(&bao, &old).await && logs_in(&bao, &new).await);
    fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    person
        .vault(&["rotate"])
        .await
        .says(0, &["holds a new secret_id of the role demo", "never expires"]);
    assert!(!logs_in(&bao, &new).await);
    assert_eq!(bao.logins_and_revokes(), (5, 5));
    for secret in [old.trim(), new.trim()] {
        assert!(!bao.audit_text().contains(secret));
    }
}

/// Jobs log in all the time while the secret id is replaced: none is refused, so none counts towards a
/// lockout.
#[tokio::test]
async fn no_job_notices() {
    let (bao, settings, person) = rotating().await;
    let list = [wanted("kv/app/demo", "api_key")];
    let jobs = async {
        let rounds = (0..30).map(|_| fetch(&settings, &list));
        futures_util::future::join_all(rounds).await
    };
    let rotations = async {
        for _ in 0..3 {
            person.vault(&["rotate"]).await.says(0, &[]);
        }
    };
    let (fetched, ()) = tokio::join!(jobs, rotations);
    for fetched in fetched {
        assert_eq!(values(&fetched.unwrap()), ["second-value"]);
    }
    let logins = bao.audited("auth/approle/login");
    assert!(logins.iter().all(|login| login["error"].is_null()));
    assert_eq!(bao.logins_and_revokes(), (36, 36));
}

#[tokio::test]
async fn what_the_policy_lacks() {
    let (bao, settings, person) = rotating().await;
    let file = bao.path("secret_id");
    let old = content(&file);
    let policy = person.vault(&["policy", "--rotate"]).await.stdout;
    let without = |path: &str| policy.replace(&format!("{path}\""), "elsewhere\"");
    let allow = async |policy: String| {
        bao.admin("PUT", "sys/policies/acl/demo", json!({ "policy": policy })).await;
    };
    allow(without("role/demo/secret-id")).await;
    let ended = person.vault(&["rotate"]).await;
    ended.says(
        2,
        &[
            "cannot make a new secret_id by auth/approle/role/demo/secret-id",
            "403",
            "longshore vault policy",
        ],
    );
    assert_eq!(content(&file), old);
    allow(without("secret-id/destroy")).await;
    let ended = person.vault(&["rotate"]).await;
    ended.says(1, &["WARNING:", "the old secret_id still works", "secret-id/destroy"]);
    assert!(content(&file) != old && logs_in(&bao, &old).await);

    bao.admin("POST", "auth/approle/role/demo", json!({"secret_id_num_uses": 1})).await;
    allow(policy.clone()).await;
    let before = content(&file);
    let ended = person.vault(&["rotate"]).await;
    ended.says(2, &["serve one login each", "the old secret_id stays"]);
    assert_eq!(content(&file), before);
    let list = "auth/approle/role/demo/secret-id?list=true";
    let left = bao.admin("GET", list, json!({})).await["data"]["keys"].as_array().unwrap().len();
    assert_eq!(left, 2, "the one in use and the one that could not be destroyed");
    fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    assert_eq!(bao.logins_and_revokes(), (5, 5));
}

/// Whatever fails, and wherever: what is in the file logs in, and no token is left.
#[tokio::test]
async fn any_failure_leaves_a_secret_id_that_works() {
    const LOGIN_LINE: &str = "POST /v1/auth/approle/login";
    const MAKE: &str = "POST /v1/auth/approle/role/demo/secret-id";
    const DESTROY: &str = "POST /v1/auth/approle/role/demo/secret-id/destroy";
    const REVOKE: &str = "POST /v1/auth/token/revoke-self";
    const MADE: Reply =
        Reply::Answer(200, r#"{"data":{"secret_id":"new-secret-id","secret_id_accessor":"acc"}}"#);
    const REFUSED: Reply = Reply::Answer(400, r#"{"errors":["invalid role or secret ID"]}"#);
    const CUT: Reply = Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":{");
    const FIRST: &[&str] = &[LOGIN_LINE];
    const MAKING: &[&str] = &[LOGIN_LINE, MAKE, REVOKE];
    const PROVING: &[&str] = &[LOGIN_LINE, MAKE, LOGIN_LINE, DESTROY, REVOKE];
    const DESTROYING: &[&str] = &[LOGIN_LINE, MAKE, LOGIN_LINE, REVOKE, DESTROY, REVOKE];
    for (step, lines, code, holds) in [
        (0, FIRST, 2, "fake-secret-id\n"),
        (1, MAKING, 2, "fake-secret-id\n"),
        (2, PROVING, 2, "fake-secret-id\n"),
        (3, DESTROYING, 1, "new-secret-id\n"),
    ] {
        let script = move |line: &str, before| match (line, before, step) {
            (LOGIN_LINE, 0, 0) | (LOGIN_LINE, 1, 2) | (DESTROY, _, 3) => REFUSED,
            (LOGIN_LINE, ..) => LOGIN,
            (MAKE, _, 1) => CUT,
            (MAKE, ..) => MADE,
            _ => REVOKED,
        };
        let dir = tempfile::tempdir().unwrap();
        let server = FakeVault::start(script).await;
        let person = Person::new(&server.settings(dir.path()), ROLE, "");
        let ended = person.vault(&["rotate"]).await;
        assert_eq!(
            (ended.code, server.lines()),
            (Some(code), lines.iter().map(|line| (*line).to_owned()).collect()),
            "{ended:?}"
        );
        assert_eq!(content(&dir.path().join("secret_id")), holds, "{ended:?}");
        assert!(!dir.path().join("secret_id.new").exists());
        let destroys = if step == 3 { "fake-secret-id" } else { "new-secret-id" };
        let destroy = server.texts().into_iter().find(|text| text.starts_with(DESTROY));
        assert!(destroy.is_none_or(|text| text.contains(destroys)));
    }
}

#[tokio::test]
async fn settings_that_cannot_rotate() {
    let (bao, settings) = furnished().await;
    let person = Person::new(&settings, "", "");
    person.vault(&["rotate"]).await.says(2, &["vault.approle.role"]);
    let person = Person::new(&settings, ROLE, "");
    let lock = fs::File::create(person.path("run/vault-enrol.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    person.vault(&["rotate"]).await.says(2, &["another vault enroll or rotate is at work"]);
    assert_eq!(bao.audited("auth/approle/login").len(), 0);
}
