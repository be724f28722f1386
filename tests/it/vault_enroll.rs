//! `longshore vault enroll`: a wrapping token is looked at, unwrapped once, and becomes a secret id that
//! works, or the old one stays.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use longshore::secrets::Secret;
use longshore::secrets::vault::{RoleId, SecretId, VaultSettings};
use serde_json::json;

use crate::support::bao::{Bao, write_private};
use crate::support::fake_vault::{FakeVault, LOGIN, REVOKED, Reply};
use crate::support::vault::{fetch, furnish, furnished, wanted};
use crate::support::vault_command::{Ended, Person};

const WRAPS: &str = "auth/approle/role/demo/secret-id";

/// A person with a role whose secret id is wrapped in the file `token`.
async fn wrapped() -> (Bao, VaultSettings, Person) {
    let (bao, settings) = furnished().await;
    let person = Person::new(&settings, "role = \"demo\"", "");
    write_private(&person.path("token"), &bao.wrapped("", WRAPS).await);
    (bao, settings, person)
}

async fn enroll(person: &Person) -> Ended {
    let token = person.path("token");
    person.vault(&["enroll", "--json", "--wrapping-token-file", token.to_str().unwrap()]).await
}

fn unwraps(bao: &Bao) -> usize {
    bao.audited("sys/wrapping/unwrap").len()
}

fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_wrapped_secret_id_takes_its_place() {
    let (bao, settings, person) = wrapped().await;
    let file = bao.path("secret_id");
    let old = content(&file);
    let ended = enroll(&person).await;
    let told = ended.json();
    assert_eq!((ended.code, &told["ok"], &told["role"]), (Some(0), &json!(true), &json!("demo")));
    assert_eq!(told["file"], file.to_str().unwrap());
    assert_eq!((&told["lives_seconds"], &told["uses_left"]), (&json!(null), &json!(null)));
    let new = content(&file);
    assert!(new != old && new.ends_with('\n') && !ended.stdout.contains(new.trim()), "{ended:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!bao.path("secret_id.new").exists());
    fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    assert_eq!((unwraps(&bao), bao.logins_and_revokes()), (1, (2, 2)));

    let ended = enroll(&person).await;
    ended.says(
        2,
        &["used already, has expired, or is forged", "treat it as an incident", "audit log"],
    );
    assert_eq!((content(&file), unwraps(&bao)), (new, 1));
    assert!(!bao.path("secret_id.new").exists());
}

#[tokio::test]
async fn the_first_secret_id_of_a_host_in_a_namespace() {
    let bao = Bao::start();
    bao.admin("POST", "sys/namespaces/team1", json!({})).await;
    let mut settings =
        furnish(&bao, "team1", json!({"secret_id_num_uses": 9, "secret_id_ttl": "2h"})).await;
    settings.namespace = Some("team1".into());
    fs::remove_file(bao.path("secret_id")).unwrap();
    let token = bao.wrapped("team1", WRAPS).await;
    let person = Person::new(&settings, "", "");
    let words = ["enroll", "--wrapping-token-file", "-"];
    let ended = person.vault_given(&format!("{token}\n"), &words).await;
    ended.says(0, &["holds a new secret_id of the role demo", "expires in 2h", "8 logins left"]);
    person.vault(&["check"]).await.says(0, &[]);
    assert_eq!(bao.logins_and_revokes(), (2, 2));
    for nothing in ["", "\n", "two words"] {
        person.vault_given(nothing, &words).await.says(2, &["holds no wrapping token"]);
    }
}

#[tokio::test]
async fn what_wraps_something_else_is_not_unwrapped() {
    let (bao, _settings, person) = wrapped().await;
    let old = content(&bao.path("secret_id"));
    bao.admin("POST", "auth/approle/role/other", json!({})).await;
    bao.admin("POST", "sys/auth/else", json!({"type": "approle"})).await;
    bao.admin("POST", "auth/else/role/demo", json!({})).await;
    for path in [
        "auth/approle/role/other/secret-id",
        "auth/else/role/demo/secret-id",
        "auth/token/create",
        "sys/wrapping/wrap",
    ] {
        write_private(&person.path("token"), &bao.wrapped("", path).await);
        let words = [
            &format!("wraps what {path} gave"),
            "was not unwrapped",
            "incident",
            "vault write -wrap-ttl",
        ];
        enroll(&person).await.says(2, &words);
    }
    assert_eq!((content(&bao.path("secret_id")), unwraps(&bao)), (old, 0));
    assert_eq!(bao.audited("auth/approle/login").len(), 0);
}

#[tokio::test]
async fn what_can_be_wrong_beforehand_uses_nothing_up() {
    let (bao, settings, person) = wrapped().await;
    let token = person.path("token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    enroll(&person).await.says(2, &["others may use it", "chmod 0600"]);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    write_private(&token, "");
    enroll(&person).await.says(2, &["is empty"]);
    write_private(&token, "not-a-wrapping-token");
    enroll(&person).await.says(2, &["treat it as an incident"]);
    write_private(&token, &bao.wrapped("", WRAPS).await);

    fs::write(bao.path("secret_id.new"), "of an earlier call").unwrap();
    enroll(&person).await.says(2, &["secret_id.new", "exists"]);
    assert_eq!(content(&bao.path("secret_id.new")), "of an earlier call");
    fs::remove_file(bao.path("secret_id.new")).unwrap();
    let lock = fs::File::create(person.path("run/vault-enrol.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    enroll(&person).await.says(2, &["another vault enroll or rotate is at work"]);
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::Unlock).unwrap();

    let mut elsewhere = settings.clone();
    elsewhere.approle.secret_id = SecretId::File(bao.path("absent/id"));
    let lost = Person::new(&elsewhere, "", "");
    fs::copy(&token, lost.path("token")).unwrap();
    fs::set_permissions(lost.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    enroll(&lost).await.says(2, &["absent/id.new cannot be made"]);
    let text = fs::read_to_string(person.path("settings.toml")).unwrap();
    let line = format!("secret_id_file = \"{}\"", bao.path("secret_id").display());
    let other = text.replace(&line, "secret_id_command = [\"/bin/true\"]");
    fs::write(person.path("settings.toml"), other).unwrap();
    enroll(&person).await.says(2, &["what /bin/true prints", "vault.approle.secret_id_file"]);
    fs::write(person.path("settings.toml"), text).unwrap();
    assert_eq!(unwraps(&bao), 0);
    enroll(&person).await.says(0, &[]);
}

#[tokio::test]
async fn one_that_does_not_log_in_is_thrown_away() {
    let (bao, mut settings) = furnished().await;
    let old = content(&bao.path("secret_id"));
    settings.approle.role_id = RoleId::Value(Secret::new("no-such-role"));
    let person = Person::new(&settings, "", "");
    write_private(&person.path("token"), &bao.wrapped("", WRAPS).await);
    enroll(&person).await.says(2, &["does not log in", "thrown away", "invalid role or secret ID"]);
    assert_eq!(content(&bao.path("secret_id")), old);
    assert!(!bao.path("secret_id.new").exists());
    assert_eq!(bao.audited("auth/approle/login").len(), 1);
}

#[tokio::test]
async fn one_that_serves_one_login_is_not_tried() {
    let (bao, settings, person) = wrapped().await;
    bao.admin("POST", "auth/approle/role/demo", json!({"secret_id_num_uses": 1})).await;
    write_private(&person.path("token"), &bao.wrapped("", WRAPS).await);
    enroll(&person).await.says(1, &["serves one login only", "secret_id_num_uses=0"]);
    assert_eq!(bao.audited("auth/approle/login").len(), 0);
    fetch(&settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
}

const LOOKED_UP: Reply =
    Reply::Answer(200, r#"{"data":{"creation_path":"auth/approle/role/demo/secret-id"}}"#);
const UNWRAPPED: Reply =
    Reply::Answer(200, r#"{"data":{"secret_id":"new-secret-id","secret_id_accessor":"acc"}}"#);
const UNWRAP: &str = "POST /v1/sys/wrapping/unwrap";

/// A person before a scripted server.
async fn before(
    script: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
) -> (FakeVault, Person, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let server = FakeVault::start(script).await;
    let person = Person::new(&server.settings(dir.path()), "", "");
    write_private(&person.path("token"), "wrapping-token");
    (server, person, dir)
}

#[tokio::test]
async fn a_lost_answer_is_not_asked_for_again() {
    const CUT: Reply = Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":{");
    const SEALED: Reply = Reply::Answer(503, r#"{"errors":["Vault is sealed"]}"#);
    for (reply, word) in [(0, "connection broke"), (1, "no answer in time"), (2, "is sealed")] {
        let script = move |line: &str, _| match (line, reply) {
            (UNWRAP, 0) => CUT,
            (UNWRAP, 1) => Reply::Hang,
            (UNWRAP, _) => SEALED,
            _ => LOOKED_UP,
        };
        let (server, person, dir) = before(script).await;
        enroll(&person)
            .await
            .says(2, &["cannot unwrap the secret_id by sys/wrapping/unwrap", word]);
        assert_eq!(server.lines(), ["POST /v1/sys/wrapping/lookup", UNWRAP]);
        let unwrap = server.texts()[1].to_lowercase();
        assert!(unwrap.contains("x-vault-token: wrapping-token"), "{unwrap}");
        assert!(!server.texts()[0].to_lowercase().contains("x-vault-token"));
        assert_eq!(content(&dir.path().join("secret_id")), "fake-secret-id\n");
        assert!(!dir.path().join("secret_id.new").exists());
    }
}

#[tokio::test]
async fn a_server_that_dies_after_the_unwrapping_loses_nothing() {
    let script = |line: &str, _| match line {
        UNWRAP => UNWRAPPED,
        "POST /v1/auth/approle/login" => Reply::Answer(502, "<html>"),
        _ => LOOKED_UP,
    };
    let (_server, person, dir) = before(script).await;
    let text = fs::read_to_string(person.path("settings.toml")).unwrap();
    let hasty = text.replace("timeout = \"2s\"", "timeout = \"2s\"\ndeadline = \"2s\"");
    fs::write(person.path("settings.toml"), hasty).unwrap();
    enroll(&person).await.says(2, &["could not be tried", "it is kept", "mv "]);
    assert_eq!(content(&dir.path().join("secret_id")), "fake-secret-id\n");
    assert_eq!(content(&dir.path().join("secret_id.new")), "new-secret-id\n");
}

#[tokio::test]
async fn answers_that_hold_no_secret_id() {
    for body in ["{}", "null", r#"{"data":{"secret_id":"a\nb"}}"#, r#"{"data":{"secret_id":7}}"#] {
        let script = move |line: &str, _| match line {
            UNWRAP => Reply::Answer(200, body),
            "POST /v1/auth/approle/login" => LOGIN,
            "POST /v1/auth/token/revoke-self" => REVOKED,
            _ => LOOKED_UP,
        };
        let (_server, person, dir) = before(script).await;
        enroll(&person).await.says(2, &["the answer holds no secret_id"]);
        assert_eq!(content(&dir.path().join("secret_id")), "fake-secret-id\n");
    }
}
