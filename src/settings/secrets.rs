//! `[secrets]`: names that jobs may ask for, where in Vault they lie, and who may have them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Patterns, VaultSettings};

mod form;
pub(super) mod place;

use form::As;
pub use form::{FileMode, KvVersion, SecretForm};
use place::Place;

/// One secret.
#[derive(Debug, Clone)]
pub struct SecretRule {
    /// `mount/path`, without KV v2's `data/`.
    pub path: String,
    /// The field; all of them, as one JSON object, for `None`.
    pub field: Option<String>,
    /// A version of KV v2; the newest where `None`.
    pub version: Option<u64>,
    /// The kind of the mount; found out where `None`.
    pub kv: Option<KvVersion>,
    /// What an engine is told that issues a secret, such as a certificate's name. Empty: it is read.
    pub parameters: BTreeMap<String, String>,
    /// How the job gets it.
    pub form: SecretForm,
    /// The projects that may have it; all of this runner's in the short form.
    pub projects: Patterns,
    /// The branches and tags that may have it.
    pub refs: Patterns,
    /// Only for protected refs.
    pub protected_only: bool,
    /// Given to jobs that do not say what they want.
    pub default: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: String,
    field: Option<String>,
    version: Option<u64>,
    kv: Option<KvVersion>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    #[serde(rename = "as")]
    given_as: Option<As>,
    mode: Option<FileMode>,
    projects: Patterns,
    #[serde(default = "Patterns::everything")]
    refs: Patterns,
    #[serde(default)]
    protected_only: bool,
    #[serde(default)]
    default: bool,
}

struct RuleVisitor;

impl<'de> Visitor<'de> for RuleVisitor {
    type Value = SecretRule;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"mount/path#field\" or a table with `path` and `projects`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretRule, E> {
        let Place { path, version, field } = place::parse(text).map_err(E::custom)?;
        let rule = SecretRule {
            path,
            field,
            version,
            kv: None,
            parameters: BTreeMap::new(),
            form: SecretForm::Variable,
            projects: Patterns::everything(),
            refs: Patterns::everything(),
            protected_only: false,
            default: false,
        };
        complete(rule).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRule, A::Error> {
        let written = Written::deserialize(MapAccessDeserializer::new(map))?;
        rule(written).and_then(complete).map_err(A::Error::custom)
    }
}

fn rule(written: Written) -> Result<SecretRule, String> {
    let place = place::parse(&written.path)?;
    let form = match (written.given_as, written.mode) {
        (Some(As::File), mode) => SecretForm::File { mode: mode.unwrap_or_default() },
        (_, Some(_)) => return Err("mode is for files: set as = \"file\"".to_owned()),
        (_, None) => SecretForm::Variable,
    };
    Ok(SecretRule {
        path: place.path,
        field: once("field", "#field", place.field, written.field)?,
        version: once("version", "@version", place.version, written.version)?,
        kv: written.kv,
        parameters: written.parameters,
        form,
        projects: written.projects,
        refs: written.refs,
        protected_only: written.protected_only,
        default: written.default,
    })
}

/// What may stand in the path or in a key of its own.
fn once<T>(key: &str, mark: &str, in_path: Option<T>, own: Option<T>) -> Result<Option<T>, String> {
    match (in_path, own) {
        (Some(_), Some(_)) => {
            Err(format!("the {key} is given twice: {mark} in the path, and {key}"))
        }
        (in_path, own) => Ok(in_path.or(own)),
    }
}

/// What only the whole tells.
fn complete(rule: SecretRule) -> Result<SecretRule, String> {
    if rule.field.as_ref().is_some_and(String::is_empty) {
        return Err("the field is empty".to_owned());
    }
    if rule.field.is_none() && rule.form == SecretForm::Variable {
        let problem = "the field is missing: write \"mount/path#field\", or as = \"file\" for all fields as one JSON object";
        return Err(problem.to_owned());
    }
    if rule.version == Some(0) {
        return Err("versions are counted from 1".to_owned());
    }
    if rule.version.is_some() && matches!(rule.kv, Some(KvVersion::V1 | KvVersion::Raw)) {
        return Err("only KV v2 has versions".to_owned());
    }
    let issued = !rule.parameters.is_empty();
    if issued && (rule.version.is_some() || matches!(rule.kv, Some(KvVersion::V1 | KvVersion::V2)))
    {
        return Err(
            "parameters are for engines that issue secrets; in KV they would be written".to_owned()
        );
    }
    Ok(rule)
}

impl<'de> Deserialize<'de> for SecretRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
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
