//! Secrets from a real server: what comes, and how what is not there or not allowed is told. Every login
//! has its revocation.

use longshore::plan::{KvVersion, SecretRef};
use longshore::secrets::Secret;
use longshore::secrets::vault::SecretId;
use serde_json::{Value, json};

use crate::support::vault::{POLICY, assert_says, fetch, furnished, refusal, values, wanted};

#[tokio::test]
async fn reads_both_versions_with_one_login_and_one_revoke() {
    let (bao, settings) = furnished().await;
    let old = |field| SecretRef { version: Some(1), ..wanted("kv/app/demo", field) };
    let whole = SecretRef { field: None, ..wanted("kv/app/demo", "") };
    let forced = SecretRef { kv: Some(KvVersion::V2), ..wanted("kv/app/demo", "api_key") };
    let list = [
        wanted("kv/app/demo", "api_key"),
        wanted("kv1/app/demo", "api_key"),
        wanted("kv1/app/demo", "db"),
        old("api_key"),
        old("port"),
        old("on"),
        old("map"),
        whole,
        forced,
    ];
    let fetched = fetch(&settings, &list).await.unwrap();
    let whole = r#"{"api_key":"second-value"}"#;
    let expected = [
        "second-value",
        "first-value",
        "db-value",
        "first-value",
        "5432",
        "true",
        r#"{"a":[1]}"#,
        whole,
        "second-value",
    ];
    assert_eq!(values(&fetched), expected);
    assert_eq!(fetched.warnings, Vec::<String>::new());
    assert_eq!(bao.logins_and_revokes(), (1, 1));
    // One request for each path and version, however many fields.
    let read = |entry: &&Value| entry["request"]["operation"] == "read";
    assert_eq!(bao.audited("kv/data/app/demo").iter().filter(read).count(), 2);
    let secret_id = std::fs::read_to_string(bao.path("secret_id")).unwrap();
    assert!(fetched.mask_too.contains(&Secret::new(secret_id.clone())));
    // Both ids, the token, and what is inside of the two JSON values.
    assert_eq!(fetched.mask_too.len(), 5);
    for secret in ["first-value", "second-value", &secret_id] {
        assert!(!bao.audit_text().contains(secret));
    }
}

#[tokio::test]
async fn what_is_inside_of_a_json_value_is_masked_too() {
    let (_bao, settings) = furnished().await;
    let whole = SecretRef { field: None, version: Some(1), ..wanted("kv/app/demo", "") };
    let fetched = fetch(&settings, &[whole, wanted("kv1/app/demo", "map")]).await.unwrap();
    for value in ["first-value", "db-value", "5432", "1"] {
        assert!(fetched.mask_too.contains(&Secret::new(value)), "{value}");
    }
    assert!(values(&fetched)[0].contains(r#""map":{"a":[1]},"none":null,"on":true,"port":5432"#));
}

#[tokio::test]
async fn large_secrets_and_odd_bytes_come_as_they_are() {
    let (bao, settings) = furnished().await;
    let lines = |bytes: usize| "0123456789abcde\n".repeat(bytes / 16);
    let texts = [lines(64 << 10), lines(1 << 20), "nul \0, bell \u{7}, \u{fffd} and 🔑".to_owned()];
    let fields = json!({"a": texts[0], "b": texts[1], "c": texts[2]});
    bao.admin("POST", "kv1/app/large", fields).await;
    let list = ["a", "b", "c"].map(|field| wanted("kv1/app/large", field));
    let fetched = fetch(&settings, &list).await.unwrap();
    // Not assert_eq: nobody wants to read that difference.
    assert!(values(&fetched) == texts);
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

/// A number comes as it was written: 1.10 is a version, and 1.1 another one.
#[tokio::test]
async fn numbers_keep_their_digits() {
    const FIELDS: &str =
        r#"{"version": 1.10, "long": 123456789012345678901234567890, "map": {"a": 2.50}}"#;
    let (bao, settings) = furnished().await;
    bao.admin_text("kv1/app/numbers", FIELDS).await;
    let whole = SecretRef { field: None, ..wanted("kv1/app/numbers", "") };
    let one = |field| wanted("kv1/app/numbers", field);
    let fetched =
        fetch(&settings, &[one("version"), one("long"), one("map"), whole]).await.unwrap();
    let long = "123456789012345678901234567890";
    let whole = format!(r#"{{"long":{long},"map":{{"a":2.50}},"version":1.10}}"#);
    assert_eq!(values(&fetched), ["1.10", long, r#"{"a":2.50}"#, &whole]);
    assert!(fetched.mask_too.contains(&Secret::new("2.50")));
}

#[tokio::test]
async fn nothing_wanted_makes_no_contact() {
    let (bao, mut settings) = furnished().await;
    settings.approle.secret_id = SecretId::File(bao.path("no such file"));
    let fetched = fetch(&settings, &[]).await.unwrap();
    assert!(fetched.secrets.is_empty());
    assert_eq!(bao.logins_and_revokes(), (0, 0));
}

#[tokio::test]
async fn what_is_not_there_is_the_jobs_fault_and_the_token_goes() {
    let (bao, settings) = furnished().await;
    let versioned =
        |version| SecretRef { version: Some(version), ..wanted("kv/app/demo", "api_key") };
    bao.admin("POST", "kv/data/app/gone", json!({"data": {"a": "first-value"}})).await;
    bao.admin("DELETE", "kv/data/app/gone", json!({})).await;
    bao.admin("POST", "kv/data/app/dust", json!({"data": {"a": "first-value"}})).await;
    bao.admin("POST", "kv/destroy/app/dust", json!({"versions": [1]})).await;
    let cases: [(SecretRef, &[&str]); 8] = [
        (
            wanted("kv/app/absent", "a"),
            &["API_KEY", "nothing at kv/data/app/absent", bao.address()],
        ),
        (wanted("kv1/app/absent", "a"), &["nothing at kv1/app/absent"]),
        (versioned(9), &["nothing at kv/data/app/demo in version 9"]),
        (
            wanted("kv1/app/demo", "wrong"),
            &["no field \"wrong\"", "\"api_key\", \"db\", \"map\", \"none\", \"on\", \"port\""],
        ),
        (wanted("kv1/app/demo", "none"), &["\"none\"", "is null"]),
        (wanted("kv/app/gone", "a"), &["version 1 of kv/app/gone was deleted at 2"]),
        (wanted("kv/app/dust", "a"), &["version 1 of kv/app/dust was destroyed"]),
        (SecretRef { version: Some(1), ..wanted("kv1/app/demo", "db") }, &["has no versions"]),
    ];
    let count = cases.len();
    for (secret, words) in cases {
        assert_says(&refusal(&settings, secret).await, true, words);
    }
    assert_eq!(bao.logins_and_revokes(), (count, count));
}

#[tokio::test]
async fn the_wrong_kv_version_is_told() {
    let (bao, settings) = furnished().await;
    let policy =
        json!({"policy": format!("{POLICY}\npath \"kv/app/*\" {{ capabilities = [\"read\"] }}")});
    bao.admin("PUT", "sys/policies/acl/demo", policy).await;
    let as_v1 = SecretRef { kv: Some(KvVersion::V1), ..wanted("kv/app/demo", "api_key") };
    assert_says(&refusal(&settings, as_v1).await, true, &["not laid out", "leave kv away"]);
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn references_that_cannot_be_asked_for() {
    let (bao, settings) = furnished().await;
    for (path, word) in [
        ("", "empty"),
        ("kv", "no secret in it"),
        ("kv/../sys/seal", "`..`"),
        ("kv//a", "empty"),
        ("/kv/a", "empty"),
        ("kv/a\nb", "control"),
    ] {
        assert_says(&refusal(&settings, wanted(path, "a")).await, true, &[word]);
    }
    assert_eq!(bao.logins_and_revokes(), (0, 0));
}

#[tokio::test]
async fn odd_characters_in_paths_and_fields() {
    let (bao, settings) = furnished().await;
    let encoded = "kv/data/app/%C3%BC%20b%3Fc%23d%25";
    bao.admin("POST", encoded, json!({"data": {"f #": "odd"}})).await;
    let fetched = fetch(&settings, &[wanted("kv/app/ü b?c#d%", "f #")]).await;
    assert_eq!(values(&fetched.unwrap()), ["odd"]);
}

#[tokio::test]
async fn what_the_policy_forbids_is_ours_and_names_the_stanza() {
    let (bao, settings) = furnished().await;
    let error = refusal(&settings, wanted("kv/other/demo", "a")).await;
    let stanza = r#"path "kv/data/other/demo" { capabilities = ["read"] }"#;
    assert_says(&error, false, &["read kv/data/other/demo", "403", "permission denied", stanza]);
    let error = refusal(&settings, wanted("nowhere/demo", "a")).await;
    assert_says(&error, false, &["find the engine of nowhere/demo", "no such mount"]);
    assert_eq!(bao.logins_and_revokes(), (2, 2));
}
