//! Which credentials belong to an image's registry. Order of GitLab's docker executor: the job's
//! `DOCKER_AUTH_CONFIG`, then the credentials GitLab sent; the longest matching prefix wins.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

use crate::job::JobContext;
use crate::secrets::Secret;

/// Where Docker Hub's credentials stand in a Docker configuration.
const HUB: &str = "https://index.docker.io/v1/";

/// Credentials of one registry.
#[derive(Debug, Clone, Serialize)]
pub struct Login {
    /// As in the source: host, with or without a path.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password; printed as a mark that there is one.
    #[serde(serialize_with = "hidden")]
    pub password: Secret,
}

fn hidden<S: Serializer>(_: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("(hidden)")
}

/// The credentials for an image, where the job has some.
pub(super) fn of(image: &str, context: &JobContext) -> Option<Login> {
    let name = full_name(image);
    let from_config = best(&name, docker_auth_config(context));
    from_config.or_else(|| best(&name, job_credentials(context)))
}

fn best(name: &str, logins: Vec<Login>) -> Option<Login> {
    logins
        .into_iter()
        .filter(|login| covers(prefix(&login.registry), name))
        .max_by_key(|login| prefix(&login.registry).len())
}

/// Whether an image's name lies below a registry or a path in it.
fn covers(prefix: &str, name: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A registry's name without scheme and trailing slash; Docker Hub's as in [`full_name`].
fn prefix(registry: &str) -> &str {
    if registry == HUB {
        return "docker.io";
    }
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://");
    bare.trim_end_matches('/')
}

/// The image's name with its registry, without tag and digest.
fn full_name(image: &str) -> String {
    let bare = image.split('@').next().unwrap_or(image);
    let bare = match bare.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => bare,
    };
    match bare.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => bare.to_owned(),
        Some(_) => format!("docker.io/{bare}"),
        None => format!("docker.io/library/{bare}"),
    }
}

#[derive(Deserialize)]
struct AuthConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "auth")]
    coded: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// A value that cannot be read gives no credentials; the registry's own answer tells the job then.
fn docker_auth_config(context: &JobContext) -> Vec<Login> {
    let text = context.variable("DOCKER_AUTH_CONFIG").unwrap_or_default();
    let Ok(config) = serde_json::from_str::<AuthConfig>(text) else { return Vec::new() };
    let login = |(registry, auth): (String, Auth)| {
        let (username, password) = match (auth.coded, auth.username, auth.password) {
            (Some(coded), ..) => {
                let decoded = String::from_utf8(BASE64_STANDARD.decode(coded).ok()?).ok()?;
                let (username, password) = decoded.split_once(':')?;
                (username.to_owned(), Secret::new(password))
            }
            (None, Some(username), Some(password)) => (username, Secret::new(password)),
            _ => return None,
        };
        Some(Login { registry, username, password })
    };
    config.auths.into_iter().filter_map(login).collect()
}

fn job_credentials(context: &JobContext) -> Vec<Login> {
    let registries = context.response.credentials.iter().filter(|one| one.kind == "registry");
    registries
        .map(|one| Login {
            registry: one.url.clone(),
            username: one.username.clone(),
            password: one.password.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(registry: &str) -> Login {
        Login {
            registry: registry.to_owned(),
            username: registry.to_owned(),
            password: Secret::new("x"),
        }
    }

    #[test]
    fn names_get_their_registry() {
        for (image, expected) in [
            ("python:3.13", "docker.io/library/python"),
            ("team/app", "docker.io/team/app"),
            ("localhost/app:1", "localhost/app"),
            ("reg.example:5000/g/app@sha256:0", "reg.example:5000/g/app"),
        ] {
            assert_eq!(full_name(image), expected);
        }
    }

    #[test]
    fn the_longest_prefix_wins_and_half_a_segment_is_none() {
        let logins =
            || vec![login("reg.example"), login("reg.example/team"), login("reg.example/te")];
        assert_eq!(best("reg.example/team/app", logins()).unwrap().registry, "reg.example/team");
        assert_eq!(best("reg.example/other", logins()).unwrap().registry, "reg.example");
        assert!(best("reg.example.evil/app", logins()).is_none());
    }

    #[test]
    fn docker_hub_is_known_by_its_old_name() {
        assert_eq!(best("docker.io/library/python", vec![login(HUB)]).unwrap().registry, HUB);
    }

    #[test]
    fn a_printed_login_hides_the_password() {
        let json = serde_json::to_string(&login("r")).unwrap();
        assert!(json.contains("(hidden)") && !json.contains("\"x\""), "{json}");
    }
}
