//! `[[docker.mirror]]` and `[[docker.login]]`: where images come from, and with which credentials. It holds
//! no credential, only where in Vault one lies.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::secrets::place;
use super::{KvVersion, Patterns, Problem};

/// `[[docker.mirror]]`: a registry that is asked before another.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorRule {
    /// The registry, or a path in it: `docker.io`, `registry.example.com/team`.
    pub registry: String,
    /// What stands in its place: `mirror.example.com/hub`.
    pub mirror: String,
}

/// `[[docker.login]]`: credentials from Vault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRule {
    /// The registry, or a path in it.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Where the password lies: `mount/path#field`, or `mount/path@VERSION#field`.
    pub password: PasswordPlace,
    /// The kind of the mount; found out where `None`.
    pub kv: Option<KvVersion>,
    /// The projects whose images are pulled with it.
    #[serde(default = "Patterns::everything")]
    pub projects: Patterns,
    /// Only for protected refs.
    #[serde(default)]
    pub protected_only: bool,
}

/// Where a password lies in Vault.
#[derive(Debug, Clone)]
pub struct PasswordPlace {
    /// `mount/path`, without KV v2's `data/`.
    pub path: String,
    /// The field.
    pub field: String,
    /// A version of KV v2; the newest where `None`.
    pub version: Option<u64>,
}

impl<'de> Deserialize<'de> for PasswordPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What is quoted might be the password itself, written in the wrong place.
        let wrong = || D::Error::custom("this is no place in Vault; write \"mount/path#field\"");
        let place::Place { path, version, field } =
            place::parse(&text).map_err(|_quotes_it| wrong())?;
        let field = field.filter(|field| !field.is_empty()).ok_or_else(wrong)?;
        Ok(Self { path, field, version })
    }
}

impl MirrorRule {
    pub(super) fn check(&self) -> Problem {
        check_name("docker.mirror.registry", &self.registry)?;
        check_name("docker.mirror.mirror", &self.mirror)
    }
}

impl LoginRule {
    pub(super) fn check(&self) -> Problem {
        check_name("docker.login.registry", &self.registry)
    }
}

fn check_name(key: &str, name: &str) -> Problem {
    let odd = name.is_empty() || name.contains("://") || name.ends_with('/');
    if odd {
        let problem =
            format!("{name:?} is not HOST[:PORT][/PATH], without a scheme and a slash at the end");
        return Err((key.to_owned(), problem));
    }
    Ok(())
}
