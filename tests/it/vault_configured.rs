//! A server as operators run it, through its states: never initialised, sealed, serving, sealed again; with
//! TLS, certificates of clients, namespaces and an audit file.

use std::time::Duration;

use serde_json::json;

use crate::support::bao::{Bao, Tls};
use crate::support::fake_vault;
use crate::support::vault::{assert_says, fetch, furnish, refusal, values, wanted};
use crate::support::vault_command::Person;

#[tokio::test]
async fn a_server_in_each_of_its_states() {
    let authority = Bao::start_tls();
    let ca = authority.path("vault-ca.pem");
    let tls = Tls {
        certificate: authority.path("vault-cert.pem"),
        key: authority.path("vault-key.pem"),
        client_ca: Some(ca.clone()),
    };
    let mut bao = Bao::start_configured(&tls);
    let secret = || wanted("kv/app/demo", "api_key");

    let mut early = fake_vault::settings(bao.address(), &bao.path("."));
    early.ca_file = Some(ca.clone());
    early.deadline = Duration::from_millis(600);
    let error = refusal(&early, secret()).await;
    assert_says(&error, false, &["log in by auth/approle/login", "50", "operator init"]);
    let person = Person::new(&early, "", "");
    person.trust(&ca);
    person.vault(&["check"]).await.says(2, &["was never initialised", "vault operator init"]);

    bao.initialise().await;
    let error = refusal(&early, secret()).await;
    assert_says(&error, false, &["503", "sealed", "vault operator unseal"]);
    person.vault(&["check"]).await.says(2, &["is sealed"]);

    bao.unseal().await;
    bao.admin("POST", "sys/namespaces/team1", json!({})).await;
    let mut settings = furnish(&bao, "team1", json!({})).await;
    settings.namespace = Some("team1".into());
    settings.ca_file = Some(ca);
    assert_eq!(values(&fetch(&settings, &[secret()]).await.unwrap()), ["second-value"]);
    settings.address = bao.second_address().to_owned();
    let error = refusal(&settings, secret()).await;
    assert_says(&error, false, &["CertificateRequired", "vault.client_cert_file"]);
    settings.client_certificate = Some((tls.certificate, tls.key));
    assert_eq!(values(&fetch(&settings, &[secret()]).await.unwrap()), ["second-value"]);
    assert_eq!(bao.logins_and_revokes(), (2, 2));

    bao.admin("POST", "sys/seal", json!({})).await;
    settings.deadline = Duration::from_millis(600);
    assert_says(&refusal(&settings, secret()).await, false, &["503", "sealed", "vault.deadline"]);
    assert_eq!(bao.logins_and_revokes(), (2, 2));
}

/// No login gets such a token, and it is no fault of the secret id: the host does not wait for another one.
#[tokio::test]
async fn a_role_with_the_root_policy_is_told_and_not_taken_for_a_bad_secret_id() {
    let bao = Bao::start();
    let mut settings = furnish(&bao, "", json!({"token_policies": ["root"]})).await;
    let marker = bao.path("lockout");
    let clock = std::time::SystemTime::now;
    settings.lockout = Some(longshore::secrets::vault::Lockout { marker: marker.clone(), clock });
    let error = refusal(&settings, wanted("kv/app/demo", "api_key")).await;
    assert_says(&error, false, &["cannot create root tokens", "policy root", "vault policy"]);
    assert!(!marker.exists());
    let person = Person::new(&settings, "role = \"demo\"", "");
    person.vault(&["check"]).await.says(2, &["policy root"]);
}
