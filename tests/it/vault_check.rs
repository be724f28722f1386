//! `longshore vault check` and `longshore vault policy` against a real server. Every check has its
//! revocation.

use longshore::secrets::vault::VaultSettings;
use serde_json::{Value, json};

use crate::support::bao::{Bao, write_private};
use crate::support::fake_vault::{FakeVault, LOGIN, REVOKED, Reply};
use crate::support::vault::{furnish, furnished};
use crate::support::vault_command::Person;

const SECRETS: &str = "[secrets]\nAPI_KEY = \"kv/app/demo#api_key\"\nDB = \"kv/app/demo#db\"\n\
                       OLD = { path = \"kv1/app/demo#db\", kv = 1, projects = [\"**\"] }";
const ROLE: &str = "role = \"demo\"";

fn severities(report: &Value) -> Vec<(&str, &str)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|one| (one["severity"].as_str().unwrap(), one["text"].as_str().unwrap())).collect()
}

/// A role that may do what this policy says and nothing beside, as `demo`.
async fn allow(bao: &Bao, policy: &str) {
    bao.admin("PUT", "sys/policies/acl/demo", json!({ "policy": policy })).await;
}

async fn strict() -> (Bao, VaultSettings) {
    let bao = Bao::start();
    let settings = furnish(&bao, "", json!({"token_no_default_policy": true})).await;
    (bao, settings)
}

#[tokio::test]
async fn the_printed_policy_is_enough_and_no_more() {
    let (bao, settings) = strict().await;
    let person = Person::new(&settings, ROLE, SECRETS);
    allow(&bao, "path \"elsewhere\" { capabilities = [\"read\"] }").await;
    let check = person.vault(&["check"]).await;
    // It cannot even revoke its token, and says so.
    check.says(
        1,
        &[
            "could not be revoked",
            "sys/capabilities-self",
            "(kv/app/demo or kv/data/app/demo): perhaps",
        ],
    );
    assert_eq!(bao.logins_and_revokes(), (1, 0));

    let printed = person.vault(&["policy", "--rotate"]).await;
    printed
        .says(0, &["# API_KEY, DB\npath \"kv/data/app/demo\" {\n  capabilities = [\"read\"]\n}"]);
    assert_eq!(bao.logins_and_revokes(), (1, 0), "it makes no contact");
    allow(&bao, &printed.stdout).await;
    let check = person.vault(&["check", "--json"]).await;
    let report = check.json();
    assert_eq!((check.code, severities(&report)), (Some(0), vec![]), "{report}");
    assert_eq!(report["ok"], true);
    assert_eq!(report["secret_id"]["uses_left"], Value::Null);
    assert_eq!(report["secret_id"]["expires"], Value::Null);
    assert_eq!(report["login"]["policies"], json!(["demo"]));
    assert_eq!(report["login"]["lives_seconds"], 1200);
    let secret = |name, path| json!({"name": name, "path": path, "readable": true});
    let secrets = [
        secret("API_KEY", "kv/data/app/demo"),
        secret("DB", "kv/data/app/demo"),
        secret("OLD", "kv1/app/demo"),
    ];
    assert_eq!(report["secrets"], json!(secrets));
    assert!(report["server"]["clock_offset_seconds"].as_i64().unwrap().abs() < 10, "{report}");

    let detected = person.vault(&["policy", "--rotate", "--detect"]).await;
    detected.says(0, &["path \"kv/data/app/demo\""]);
    assert!(!detected.stdout.contains("path \"kv/app/demo\""), "{detected:?}");
    allow(&bao, &detected.stdout).await;
    person.vault(&["check"]).await.says(0, &["API_KEY (kv/data/app/demo): can be read"]);
    assert_eq!(bao.logins_and_revokes(), (4, 3));
    let stanzas = person.vault(&["policy", "--json"]).await.json()["stanzas"].clone();
    let paths: Vec<&str> =
        stanzas.as_array().unwrap().iter().map(|stanza| stanza["path"].as_str().unwrap()).collect();
    let expected = [
        "kv/app/demo",
        "kv/data/app/demo",
        "kv1/app/demo",
        "auth/token/revoke-self",
        "sys/internal/ui/mounts/kv/app/demo",
        "sys/capabilities-self",
    ];
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn what_is_allowed_too_much() {
    let (bao, settings) = furnished().await;
    let person = Person::new(&settings, ROLE, SECRETS);
    let base = person.vault(&["policy", "--rotate"]).await.stdout;
    for (extra, code, severity, words) in [
        (
            "path \"kv/data/app/*\" { capabilities = [\"read\"] }",
            0,
            "remark",
            "beside those of the settings",
        ),
        ("path \"kv/*\" { capabilities = [\"read\"] }", 1, "warning", "every secret of the mount"),
        ("path \"kv1/app/+\" { capabilities = [\"read\"] }", 0, "remark", "kv1/app/"),
        (
            "path \"auth/approle/role/*\" { capabilities = [\"update\"] }",
            1,
            "warning",
            "log in as other roles",
        ),
        (
            "path \"auth/token/create\" { capabilities = [\"update\"] }",
            1,
            "warning",
            "that no job revokes",
        ),
        (
            "path \"sys/policies/acl/*\" { capabilities = [\"update\"] }",
            2,
            "refused",
            "may write policies",
        ),
        (
            "path \"*\" { capabilities = [\"create\", \"update\", \"sudo\", \"read\"] }",
            2,
            "refused",
            "may add ways to log in",
        ),
    ] {
        allow(&bao, &format!("{base}\n{extra}")).await;
        let check = person.vault(&["check", "--json"]).await;
        let report = check.json();
        let found =
            severities(&report).iter().any(|(how, text)| *how == severity && text.contains(words));
        assert!(found && check.code == Some(code), "{extra}: {check:?}");
    }
    let without = base.replace("capabilities = [\"read\"]", "capabilities = [\"list\"]");
    allow(&bao, &without).await;
    let check = person.vault(&["check"]).await;
    check.says(
        2,
        &[
            "API_KEY (kv/data/app/demo): CANNOT be read",
            "REFUSED:",
            "does not let it read OLD; it needs: path \"kv1/app/demo\"",
        ],
    );
    let writes = base.replace("[\"read\"]", "[\"read\", \"delete\"]");
    allow(&bao, &writes).await;
    person.vault(&["check"]).await.says(1, &["may do more than read: delete on kv1/app/demo"]);
    assert_eq!(bao.logins_and_revokes(), (9, 9));
}

#[tokio::test]
async fn the_end_of_a_secret_id_is_told() {
    let (bao, settings) = furnished().await;
    let person = Person::new(&settings, ROLE, SECRETS);
    person.vault(&["check"]).await.says(0, &["remark:", "does not let the role demo look it up"]);
    let policy = person.vault(&["policy", "--rotate"]).await.stdout;
    allow(&bao, &policy).await;
    let limits = json!({"secret_id_num_uses": 5, "secret_id_ttl": "1h"});
    bao.admin("POST", "auth/approle/role/demo", limits).await;
    bao.new_secret_id("", &bao.path("secret_id")).await;
    let check = person.vault(&["check", "--json"]).await;
    let report = check.json();
    assert_eq!((check.code, &report["secret_id"]["uses_left"]), (Some(1), &json!(4)), "{check:?}");
    let expires = report["secret_id"]["expires"].as_str().unwrap();
    let expires = humantime::parse_rfc3339_weak(expires).unwrap();
    let left = expires.duration_since(std::time::SystemTime::now()).unwrap().as_secs();
    assert!((3300..=3600).contains(&left), "{left}");
    assert!(severities(&report)[0].1.contains("serves 4 more logins"), "{report}");
    let text = person.vault(&["check"]).await;
    text.says(1, &["expires 20", "3 logins left", "WARNING:", "longshore vault rotate"]);

    let nameless = Person::new(&settings, "", SECRETS);
    nameless.vault(&["check"]).await.says(0, &["write the role's name into vault.approle.role"]);
    nameless.vault(&["policy", "--rotate"]).await.says(2, &["vault.approle.role"]);
    assert_eq!(bao.logins_and_revokes(), (4, 4));
}

#[tokio::test]
async fn servers_that_cannot_be_checked() {
    let (bao, mut settings) = furnished().await;
    let person = Person::new(&settings, ROLE, SECRETS);
    settings.namespace = Some("absent".into());
    let lost = Person::new(&settings, ROLE, SECRETS);
    lost.vault(&["check"]).await.says(2, &["namespace \"absent\"", "check vault.namespace"]);
    settings.namespace = None;
    bao.admin("POST", "sys/seal", json!({})).await;
    let check = person.vault(&["check", "--json"]).await;
    check.says(2, &["is sealed; unseal it: vault operator unseal"]);
    assert_eq!(check.json()["ok"], false);
    assert!(check.json()["error"].as_str().unwrap().contains("is sealed"), "{check:?}");

    let dir = tempfile::tempdir().unwrap();
    let fake = FakeVault::start(|_, _| Reply::Answer(200, "<html>")).await;
    settings.address = fake.address();
    write_private(&dir.path().join("secret_id"), "x");
    Person::new(&settings, ROLE, SECRETS)
        .vault(&["check"])
        .await
        .says(2, &["cannot ask sys/seal-status", "is a Vault or OpenBao server"]);
    let fake = FakeVault::start(|_, _| Reply::Hang).await;
    settings.address = fake.address();
    let begin = std::time::Instant::now();
    Person::new(&settings, ROLE, SECRETS).vault(&["check"]).await.says(2, &["no answer in time"]);
    assert!(begin.elapsed() < std::time::Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(bao.logins_and_revokes(), (0, 0));
}

#[tokio::test]
async fn settings_without_a_vault() {
    let (_bao, settings) = furnished().await;
    let person = Person::new(&settings, "", "");
    std::fs::write(person.path("settings.toml"), "").unwrap();
    for words in [&["check"][..], &["policy"]] {
        person.vault(words).await.says(2, &["no [vault]", "longshore.toml.example"]);
    }
}

/// A server whose clock is of another time: certificates and expiries depend on it, and it is told.
#[tokio::test]
async fn clocks_that_differ_are_told() {
    const STATE: Reply = Reply::Raw(
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\nContent-Length: 51\r\n\r\n\
         {\"initialized\":true,\"sealed\":false,\"version\":\"1.2\"}",
    );
    let dir = tempfile::tempdir().unwrap();
    let server = FakeVault::start(|line, _| match line {
        "GET /v1/sys/seal-status" => STATE,
        "POST /v1/auth/approle/login" => LOGIN,
        "POST /v1/auth/token/revoke-self" => REVOKED,
        _ => Reply::Answer(403, r#"{"errors":["permission denied"]}"#),
    })
    .await;
    let person = Person::new(&server.settings(dir.path()), "", "");
    let check = person.vault(&["check", "--json"]).await;
    let report = check.json();
    let told =
        severities(&report).iter().any(|(_, text)| text.contains("more than a minute apart"));
    assert!(told && check.code == Some(1), "{check:?}");
    assert!(report["server"]["clock_offset_seconds"].as_i64().unwrap() < -900_000_000, "{report}");
}
