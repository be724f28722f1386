//! Reads a Docker configuration: the job's `DOCKER_AUTH_CONFIG`, or the operator's file. Pure: text in,
//! logins and names of credential helpers out.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::login::{self, Login};
use crate::secrets::Secret;

/// The user name that stands for an identity token.
const TOKEN: &str = "<token>";

/// What a Docker configuration says of registries.
#[derive(Debug, Clone, Default)]
pub struct AuthConfig {
    /// Credentials that stand in it.
    pub logins: Vec<Login>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "auth")]
    coded: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    token: Option<String>,
}

impl AuthConfig {
    /// Reads the text; `None` where it is no Docker configuration. An entry without a whole login is left
    /// out: with a store, Docker itself writes such.
    pub fn read(text: &str) -> Option<Self> {
        let written: Written = serde_json::from_str(text).ok()?;
        let logins = written.auths.into_iter().filter_map(|(registry, auth)| auth.login(registry));
        Some(Self {
            logins: logins.collect(),
            helpers: written.cred_helpers,
            store: written.creds_store.filter(|store| !store.is_empty()),
        })
    }

    /// Which credential helper to ask for an image, and for which server. A helper of a registry comes
    /// before the store for all.
    pub fn helper(&self, image: &str) -> Option<(String, String)> {
        let name = login::full_name(image);
        let covering = self.helpers.iter().filter(|(registry, _)| login::covers(registry, &name));
        let nearest = covering.max_by_key(|(registry, _)| registry.len());
        if let Some((registry, helper)) = nearest {
            return Some((helper.clone(), registry.clone()));
        }
        let host = name.split('/').next().unwrap_or_default();
        let server = if host == "docker.io" { login::HUB } else { host };
        self.store.clone().map(|store| (store, server.to_owned()))
    }
}

impl Auth {
    fn login(self, registry: String) -> Option<Login> {
        let (username, password) = match (self.token, self.coded, self.username, self.password) {
            (Some(token), ..) if !token.is_empty() => (TOKEN.to_owned(), Secret::new(token)),
            (_, Some(coded), ..) if !coded.is_empty() => {
                let decoded = String::from_utf8(BASE64_STANDARD.decode(coded).ok()?).ok()?;
                let (username, password) = decoded.split_once(':')?;
                (username.to_owned(), Secret::new(password.trim_end_matches('\0')))
            }
            (_, _, Some(username), Some(password)) => (username, Secret::new(password)),
            _ => return None,
        };
        Some(Login { registry, username, password })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = r#"{
        "auths": {"reg.example": {"auth": "dXNlcjpwYXNz"}, "empty.example": {}, "t.example": {"identitytoken": "it"}},
        "credHelpers": {"reg.example/team": "ecr", "docker.io": "hub"},
        "credsStore": "pass", "HttpHeaders": {}}"#;

    #[test]
    fn logins_and_tokens_are_read_and_empty_entries_are_none() {
        let config = AuthConfig::read(WRITTEN).unwrap();
        let names: Vec<_> = config
            .logins
            .iter()
            .map(|one| (one.registry.as_str(), one.username.as_str()))
            .collect();
        assert_eq!(names, [("reg.example", "user"), ("t.example", "<token>")]);
        assert_eq!(config.logins[0].password.expose(), b"pass");
        assert!(AuthConfig::read("no JSON").is_none());
    }

    #[test]
    fn a_registrys_helper_comes_before_the_store() {
        let config = AuthConfig::read(WRITTEN).unwrap();
        let asked = |image: &str| config.helper(image).unwrap();
        assert_eq!(asked("reg.example/team/app:1"), ("ecr".into(), "reg.example/team".into()));
        assert_eq!(asked("python:3"), ("hub".into(), "docker.io".into()));
        assert_eq!(asked("other.example/app"), ("pass".into(), "other.example".into()));
        let store = AuthConfig::read(r#"{"credsStore": "pass"}"#).unwrap();
        assert_eq!(store.helper("python:3").unwrap().1, "https://index.docker.io/v1/");
    }
}
