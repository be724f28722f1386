//! What it means that a path gives no fields: nothing there, deleted, another layout, or not allowed.

use serde_json::Value;

use super::super::client::{Failed, Session};
use super::super::failure::Failure;
use super::super::message::Step;
use crate::plan::SecretRef;
use crate::secrets::{SecretError, SecretMissing};

/// Tells the many meanings of a refused read apart.
pub(super) fn told(
    session: &Session<'_>,
    secret: &SecretRef,
    path: &str,
    failed: &Failed,
) -> SecretError {
    if let Failure::Status { code: 404, errors, body } = &failed.failure {
        if let Some(deleted) = deleted(secret, body) {
            return deleted.into();
        }
        if body["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty()) {
            return SecretMissing::WrongKv { name: secret.name.clone(), path: secret.path.clone() }
                .into();
        }
        if errors.is_empty() && body.is_object() {
            return missing(session, secret, path).into();
        }
    }
    session.error(&Step::Read(path.to_owned()), failed).into()
}

pub(super) fn missing(session: &Session<'_>, secret: &SecretRef, path: &str) -> SecretMissing {
    let path = match secret.version {
        Some(version) => format!("{path} in version {version}"),
        None => path.to_owned(),
    };
    SecretMissing::Path { name: secret.name.clone(), path, at: session.at().to_owned() }
}

/// A deleted version answers with its metadata in place of its fields.
pub(super) fn deleted(secret: &SecretRef, answer: &Value) -> Option<SecretMissing> {
    let metadata = answer["data"]["metadata"].as_object()?;
    let when = metadata.get("deletion_time")?.as_str()?;
    let destroyed = metadata.get("destroyed").and_then(Value::as_bool).unwrap_or(false);
    if when.is_empty() && !destroyed {
        return None;
    }
    Some(SecretMissing::Deleted {
        name: secret.name.clone(),
        path: secret.path.clone(),
        version: metadata.get("version").map(Value::to_string).unwrap_or_default(),
        when: when.to_owned(),
        destroyed,
    })
}
