//! What the tests of Vault share: a server with mounts, secrets and a role, and how a refusal is checked.

use longshore::plan::{SecretForm, SecretRef};
use longshore::secrets::vault::{Vault, VaultSettings};
use longshore::secrets::{Fetched, SecretError, SecretSource as _};
use serde_json::{Value, json};

use super::bao::Bao;

pub const POLICY: &str = r#"
path "kv/data/app/*" { capabilities = ["read"] }
path "kv1/app/*" { capabilities = ["read"] }
path "cubbyhole/*" { capabilities = ["read"] }
"#;

/// A reference `NAME = path#field`.
pub fn wanted(path: &str, field: &str) -> SecretRef {
    SecretRef {
        name: "API_KEY".into(),
        path: path.into(),
        field: Some(field.into()),
        version: None,
        kv: None,
        parameters: std::collections::BTreeMap::default(),
        form: SecretForm::Variable,
    }
}

/// Mounts and secrets as the tests know them, and a role that may read them.
pub async fn furnished() -> (Bao, VaultSettings) {
    let bao = Bao::start();
    let settings = furnish(&bao, "", json!({})).await;
    (bao, settings)
}

pub async fn furnish(bao: &Bao, namespace: &str, role: Value) -> VaultSettings {
    let admin = |method, path, body| bao.admin_in(namespace, (method, path), body);
    admin("POST", "sys/mounts/kv", json!({"type": "kv", "options": {"version": "2"}})).await;
    admin("POST", "sys/mounts/kv1", json!({"type": "kv", "options": {"version": "1"}})).await;
    let fields = json!({"api_key": "first-value", "db": "db-value", "port": 5432, "on": true, "none": null, "map": {"a": [1]}});
    admin("POST", "kv1/app/demo", fields.clone()).await;
    admin("POST", "kv/data/app/demo", json!({"data": fields})).await;
    admin("POST", "kv/data/app/demo", json!({"data": {"api_key": "second-value"}})).await;
    bao.role(namespace, POLICY, role).await
}

pub async fn fetch(settings: &VaultSettings, wanted: &[SecretRef]) -> Result<Fetched, SecretError> {
    Vault::new(settings.clone()).fetch(wanted).await
}

pub async fn refusal(settings: &VaultSettings, wanted: SecretRef) -> SecretError {
    fetch(settings, &[wanted]).await.unwrap_err()
}

#[track_caller]
pub fn assert_says(error: &SecretError, is_job_fault: bool, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert_eq!(error.is_job_fault(), is_job_fault, "{text}");
    for secret in ["first-value", "second-value", "db-value"] {
        assert!(!text.contains(secret) && !format!("{error:?}").contains(secret), "{text}");
    }
}

pub fn values(fetched: &Fetched) -> Vec<&str> {
    fetched
        .secrets
        .iter()
        .map(|secret| std::str::from_utf8(secret.value.expose()).unwrap())
        .collect()
}
