//! `[secrets]`: names that jobs may ask for, and where in Vault they lie.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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
    /// The kind of the mount; found out where `None`.
    pub kv: Option<KvVersion>,
    /// The projects that may have it; all of this runner's in the short form.
    pub projects: Patterns,
    /// Only for protected refs.
    pub protected_only: bool,
}

/// `mount/path#field`.
#[derive(Debug, Clone)]
pub struct Place {
    /// `mount/path`, without KV v2's `data/`.
    pub path: String,
    /// The field.
    pub field: String,
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What is quoted might be the password itself, written in the wrong place.
        let (path, field) = place(text, None).map_err(|_quotes_it| {
            D::Error::custom("this is no place in Vault; write \"mount/path#field\"")
        })?;
        Ok(Self { path, field })
    }
}

/// How a mount lays out its paths; written as `1`, `2` or `"raw"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KvVersion {
    /// KV version 1.
    V1,
    /// KV version 2.
    V2,
    /// Any other engine.
    Raw,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: String,
    field: Option<String>,
    version: Option<u64>,
    kv: Option<KvVersion>,
    projects: Patterns,
    #[serde(default)]
    protected_only: bool,
}

struct RuleVisitor;

impl<'de> Visitor<'de> for RuleVisitor {
    type Value = SecretRule;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"mount/path#field\" or a table with `path` and `projects`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretRule, E> {
        let (path, field) = place(text.to_owned(), None).map_err(E::custom)?;
        let projects = Patterns::everything();
        Ok(SecretRule { path, field, version: None, kv: None, projects, protected_only: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRule, A::Error> {
        let written = Written::deserialize(MapAccessDeserializer::new(map))?;
        let (path, field) = place(written.path, written.field).map_err(A::Error::custom)?;
        let (version, kv) = (written.version, written.kv);
        let (projects, protected_only) = (written.projects, written.protected_only);
        Ok(SecretRule { path, field, version, kv, projects, protected_only })
    }
}

/// Path and field, from `mount/path#field` or from two keys.
fn place(path: String, field: Option<String>) -> Result<(String, String), String> {
    let (path, field) = match (path.split_once('#'), field) {
        (Some(_), Some(_)) => return Err("the field is named twice: #field and field".to_owned()),
        (Some((path, field)), None) => (path.to_owned(), field.to_owned()),
        (None, Some(field)) => (path, field),
        (None, None) => return Err("the field is missing: write \"mount/path#field\"".to_owned()),
    };
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['?', '%', '#']);
    if !path.contains('/') || !path.split('/').all(plain) || field.is_empty() {
        return Err(format!("{path:?} is not mount/path#field, such as kv/app/demo#password"));
    }
    Ok((path, field))
}

impl<'de> Deserialize<'de> for SecretRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

impl<'de> Deserialize<'de> for KvVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KvVisitor)
    }
}

struct KvVisitor;

impl Visitor<'_> for KvVisitor {
    type Value = KvVersion;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("1, 2 or \"raw\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<KvVersion, E> {
        match number {
            1 => Ok(KvVersion::V1),
            2 => Ok(KvVersion::V2),
            other => Err(E::invalid_value(Unexpected::Signed(other), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KvVersion, E> {
        match text {
            "raw" => Ok(KvVersion::Raw),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}

/// Beginnings and names that belong to GitLab, Docker, the loader or the shell.
const RESERVED_PREFIXES: [&str; 10] = [
    "CI_",
    "GITLAB_",
    "LD_",
    "DOCKER_",
    "LONGSHORE_",
    "FF_",
    "RUNNER_",
    "GIT_",
    "CUSTOM_ENV_",
    "VAULT_",
];
const RESERVED: [&str; 14] = [
    "CI", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "IFS", "ENV", "BASH_ENV", "PS4",
    "TMPDIR", "TERM", "HOSTNAME",
];

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
