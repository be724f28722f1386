//! Which credentials belong to an image's registry. Order of GitLab's docker executor: the job's
//! `DOCKER_AUTH_CONFIG`, the operator's own, the credentials GitLab sent; in each of them the longest
//! matching prefix wins.

use std::path::PathBuf;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::SecretRef;
use super::auth_config::AuthConfig;
use crate::job::JobContext;
use crate::secrets::Secret;
use crate::settings::{LoginRule, SecretForm, Settings};

/// Where Docker Hub's credentials stand in a Docker configuration.
pub(super) const HUB: &str = "https://index.docker.io/v1/";

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

/// Where an image's credentials may come from: the first that has some counts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LoginPlan {
    /// From the job's `DOCKER_AUTH_CONFIG`.
    pub auth_config: Option<Login>,
    /// The operator's Docker configuration, to be read when the image is pulled.
    pub auth_file: Option<PathBuf>,
    /// From Vault.
    pub vault: Option<VaultLogin>,
    /// Those that GitLab sent with the job.
    pub job: Option<Login>,
}

/// A login whose password lies in Vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VaultLogin {
    /// The registry.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Where the password lies; its name tells it from all secrets of the job.
    pub password: SecretRef,
}

impl LoginPlan {
    /// Where the credentials of an image may come from.
    pub(super) fn of(image: &str, context: &JobContext, settings: &Settings) -> Self {
        let text = context.variable("DOCKER_AUTH_CONFIG").unwrap_or_default();
        // A value that cannot be read gives no credentials; the registry's own answer tells the job then.
        let auth_config = AuthConfig::read(text).unwrap_or_default();
        Self {
            auth_config: best(image, auth_config.logins),
            auth_file: settings.docker.auth_file.clone(),
            vault: from_vault(image, context, settings),
            job: best(image, job_credentials(context)),
        }
    }
}

/// The login with the longest prefix of the image's name.
pub fn best(image: &str, logins: Vec<Login>) -> Option<Login> {
    let name = full_name(image);
    let covering = logins.into_iter().filter(|login| covers(&login.registry, &name));
    covering.max_by_key(|login| prefix(&login.registry).len())
}

fn from_vault(image: &str, context: &JobContext, settings: &Settings) -> Option<VaultLogin> {
    let name = full_name(image);
    let project = &context.response.job_info.project_full_path;
    let holds = |rule: &&LoginRule| {
        covers(&rule.registry, &name)
            && rule.projects.matches(project)
            && (!rule.protected_only || context.is_protected())
    };
    let rules = settings.docker.login.iter().filter(holds);
    let rule = rules.max_by_key(|rule| prefix(&rule.registry).len())?;
    Some(VaultLogin {
        registry: rule.registry.clone(),
        username: rule.username.clone(),
        password: SecretRef {
            name: format!("docker.login of {}", rule.registry),
            path: rule.password.path.clone(),
            field: Some(rule.password.field.clone()),
            version: rule.password.version,
            kv: rule.kv,
            parameters: BTreeMap::new(),
            form: SecretForm::Variable,
        },
    })
}

/// Whether an image's full name lies below a registry or a path in it.
pub(super) fn covers(registry: &str, name: &str) -> bool {
    let rest = name.strip_prefix(prefix(registry));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A registry's name without scheme and trailing slash; Docker Hub's as in [`full_name`].
pub(super) fn prefix(registry: &str) -> &str {
    if registry == HUB || registry == "index.docker.io" {
        return "docker.io";
    }
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://");
    bare.trim_end_matches('/')
}

/// The image's name with its registry, without tag and digest.
pub fn full_name(image: &str) -> String {
    split(image).0
}

/// The one way to write an image's name: with its registry, and a tag or a digest. An id stays as it is.
pub fn canonical(image: &str) -> String {
    if image.starts_with("sha256:") {
        return image.to_owned();
    }
    let (name, version) = split(image);
    match version.find('@') {
        // Of a reference with tag and digest the digest counts.
        Some(at) => format!("{name}{}", &version[at..]),
        None if version.is_empty() => format!("{name}:latest"),
        None => format!("{name}{version}"),
    }
}

/// The image's name with its registry, and its tag and digest as they stand behind it.
pub(super) fn split(image: &str) -> (String, &str) {
    let at = image.find('@').unwrap_or(image.len());
    let last = image[..at].rfind('/').map_or(0, |slash| slash + 1);
    let end = image[last..at].find(':').map_or(at, |colon| last + colon);
    let (bare, version) = image.split_at(end);
    let full = match bare.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => bare.to_owned(),
        Some(_) => format!("docker.io/{bare}"),
        None => format!("docker.io/library/{bare}"),
    };
    (full, version)
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
            ("python:3.13", ("docker.io/library/python", ":3.13")),
            ("team/app", ("docker.io/team/app", "")),
            ("localhost/app:1", ("localhost/app", ":1")),
            ("reg.example:5000/g/app@sha256:0", ("reg.example:5000/g/app", "@sha256:0")),
            ("reg.example/app:1@sha256:0", ("reg.example/app", ":1@sha256:0")),
        ] {
            let (name, version) = split(image);
            assert_eq!((name.as_str(), version), expected);
        }
    }

    #[test]
    fn one_way_to_write_a_name() {
        for (image, expected) in [
            ("python", "docker.io/library/python:latest"),
            ("reg.example:5000/g/app:1", "reg.example:5000/g/app:1"),
            ("reg.example/app:1@sha256:0", "reg.example/app@sha256:0"),
            ("sha256:00ff", "sha256:00ff"),
        ] {
            assert_eq!(canonical(image), expected);
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
        assert_eq!(best("python", vec![login(HUB)]).unwrap().registry, HUB);
    }

    #[test]
    fn a_printed_login_hides_the_password() {
        let json = serde_json::to_string(&login("r")).unwrap();
        assert!(json.contains("(hidden)") && !json.contains("\"x\""), "{json}");
    }
}
