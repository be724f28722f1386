//! Why secrets could not be had, and whose fault that is. Holds no value, and no library's error whose
//! text might.

use super::vault::VaultError;

/// A fetch that failed.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// What the job asked for is not there: trying again does not help.
    #[error(transparent)]
    Missing(#[from] SecretMissing),
    /// The server, the way to it or our credentials.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Beside the failure, a token was left behind.
    #[error("{error}; besides, {warning}")]
    Unrevoked {
        /// The failure itself.
        #[source]
        error: Box<SecretError>,
        /// Which token is left, how long, and how to revoke it.
        warning: String,
    },
}

impl SecretError {
    /// Whether the job (or the map of its secrets) is to blame, and not Vault or the host.
    pub fn is_job_fault(&self) -> bool {
        match self {
            Self::Missing(_) => true,
            Self::Vault(_) => false,
            Self::Unrevoked { error, .. } => error.is_job_fault(),
        }
    }

    /// The name of the secret that it is about, where it is about one.
    pub fn about(&self) -> Option<&str> {
        match self {
            Self::Missing(missing) => Some(missing.name()),
            Self::Vault(_) => None,
            Self::Unrevoked { error, .. } => error.about(),
        }
    }
}

/// A secret that is mapped to nothing, or to nothing that can be a value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretMissing {
    /// Nothing at the path.
    #[error(
        "secret {name}: there is nothing at {path} ({at}); write it, or correct the path in the settings"
    )]
    Path {
        /// Name of the secret.
        name: String,
        /// Path as the API knows it, `data/` included.
        path: String,
        /// Address and namespace.
        at: String,
    },
    /// The path holds other fields.
    #[error("secret {name}: {path} has no field {field:?}, it has {}", listed(.has))]
    Field {
        /// Name of the secret.
        name: String,
        /// Path as in the settings.
        path: String,
        /// The field looked for.
        field: String,
        /// Names of those there are.
        has: Vec<String>,
    },
    /// The field is there and null.
    #[error("secret {name}: field {field:?} of {path} is null; write a value into it")]
    Null {
        /// Name of the secret.
        name: String,
        /// Path as in the settings.
        path: String,
        /// The field.
        field: String,
    },
    /// The version was deleted or destroyed.
    #[error("secret {name}: version {version} of {path} was {}; write a new version, or ask for another", gone(.when, *.destroyed))]
    Deleted {
        /// Name of the secret.
        name: String,
        /// Path as in the settings.
        path: String,
        /// Its version.
        version: String,
        /// When it was deleted, as the server tells it; may be empty for a destroyed one.
        when: String,
        /// Destroyed for good, not only deleted.
        destroyed: bool,
    },
    /// The path lies in an engine of the other KV version.
    #[error(
        "secret {name}: {path} is not laid out as the kv version in the settings says; leave kv away, it is found out"
    )]
    WrongKv {
        /// Name of the secret.
        name: String,
        /// Path as in the settings.
        path: String,
    },
    /// A reference that cannot be asked for.
    #[error("secret {name}: {reason}")]
    Reference {
        /// Name of the secret.
        name: String,
        /// What is wrong with the path or the version.
        reason: String,
    },
}

impl SecretMissing {
    /// Name of the secret.
    pub fn name(&self) -> &str {
        match self {
            Self::Path { name, .. }
            | Self::Field { name, .. }
            | Self::Null { name, .. }
            | Self::Deleted { name, .. }
            | Self::WrongKv { name, .. }
            | Self::Reference { name, .. } => name,
        }
    }
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    let mut text: Vec<String> = names.iter().take(MOST).map(|name| format!("{name:?}")).collect();
    if names.len() > MOST {
        text.push(format!("and {} more", names.len() - MOST));
    }
    if text.is_empty() { "none".to_owned() } else { text.join(", ") }
}

fn gone(when: &str, destroyed: bool) -> String {
    match (destroyed, when) {
        (true, "") => "destroyed".to_owned(),
        (true, when) => format!("deleted at {when} and destroyed"),
        (false, when) => format!("deleted at {when}"),
    }
}
