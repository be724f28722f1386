//! `[secrets]`: names that jobs may ask for, and where in Vault they lie.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Error;

use super::{Patterns, VaultSettings};

/// One secret.
#[derive(Debug, Clone)]
pub struct SecretRule {
    /// `mount/path`, without KV v2's `data/`.
    pub path: String,
    /// The field.
    pub field: String,
    /// A version of KV v2; the newest where `None`.
    pub version: Option<u64>,
    /// The projects that may have it; none by default.
    pub projects: Patterns,
    /// Only for protected refs.
    pub protected_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: String,
    field: Option<String>,
    version: Option<u64>,
    projects: Patterns,
    #[serde(default)]
    protected_only: bool,
}

impl<'de> Deserialize<'de> for SecretRule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let (path, field) = match (written.path.split_once('#'), written.field) {
            (Some(_), Some(_)) => {
                return Err(D::Error::custom("the field is named twice: #field and field"));
            }
            (Some((path, field)), None) => (path.to_owned(), field.to_owned()),
            (None, Some(field)) => (written.path, field),
            (None, None) => {
                return Err(D::Error::custom(
                    "the field is missing: write path = \"mount/path#field\"",
                ));
            }
        };
        if !path.contains('/') || path.starts_with('/') || path.ends_with('/') || field.is_empty() {
            return Err(D::Error::custom(format!("{path:?} is not mount/path#field")));
        }
        let (projects, protected_only) = (written.projects, written.protected_only);
        Ok(Self { path, field, version: written.version, projects, protected_only })
    }
}

/// Beginnings and names that belong to GitLab, Docker, the loader or the shell.
const RESERVED_PREFIXES: [&str; 8] =
    ["CI_", "GITLAB_", "LD_", "DOCKER_", "LONGSHORE_", "FF_", "RUNNER_", "GIT_"];
const RESERVED: [&str; 10] =
    ["CI", "PATH", "HOME", "USER", "SHELL", "PWD", "IFS", "ENV", "BASH_ENV", "TMPDIR"];

pub(super) fn check(
    secrets: &BTreeMap<String, SecretRule>,
    vault: Option<&VaultSettings>,
) -> Result<(), (String, String)> {
    for name in secrets.keys() {
        problem(name).map_or(Ok(()), |problem| Err((format!("secrets.{name}"), problem)))?;
    }
    if vault.is_none() && !secrets.is_empty() {
        return Err(("secrets".to_owned(), "there is no [vault] to read them from".to_owned()));
    }
    Ok(())
}

fn problem(name: &str) -> Option<String> {
    let legal = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if name.is_empty()
        || !name.chars().all(legal)
        || name.starts_with(|first: char| first.is_ascii_digit())
    {
        return Some("is no name of an environment variable".to_owned());
    }
    let reserved =
        RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    reserved.then(|| {
        "is a reserved name; choose one that does not begin like GitLab's or Docker's own"
            .to_owned()
    })
}
