//! From references to values: finds each path's engine, reads each path once, and takes the fields out.
//! Errors name paths and fields, never values.

use serde_json::{Map, Value};

use super::address;
use super::client::{Failed, Session};
use super::failure::Failure;
use super::message::Step;
use crate::secrets::{FetchedSecret, KvVersion, Secret, SecretError, SecretMissing, SecretRef};

/// An engine that was found: its mount with a slash at the end, and its layout.
pub(super) struct Engine {
    pub(super) mount: String,
    pub(super) kv: KvVersion,
}

/// One path's fields, as they came.
struct Answer<'a> {
    path: &'a str,
    version: Option<u64>,
    fields: Map<String, Value>,
}

/// Refuses references that no request can be made of.
pub(super) fn check(wanted: &[SecretRef]) -> Result<(), SecretMissing> {
    for secret in wanted {
        let refused = |reason| SecretMissing::Reference { name: secret.name.clone(), reason };
        address::check_path(&secret.path).map_err(refused)?;
        if !secret.path.contains('/') {
            return Err(refused(format!("{:?} names a mount and no secret in it", secret.path)));
        }
        if secret.version == Some(0) {
            return Err(refused("versions are counted from 1".to_owned()));
        }
        if secret.version.is_some() && matches!(secret.kv, Some(KvVersion::V1 | KvVersion::Raw)) {
            return Err(refused("only KV v2 has versions".to_owned()));
        }
    }
    Ok(())
}

/// The values, in the order of the references.
pub(super) async fn all(
    session: &Session<'_>,
    wanted: &[SecretRef],
) -> Result<Vec<FetchedSecret>, SecretError> {
    let mut engines: Vec<Engine> = Vec::new();
    let mut answers: Vec<Answer<'_>> = Vec::new();
    let mut secrets = Vec::with_capacity(wanted.len());
    for secret in wanted {
        let known =
            |answer: &Answer<'_>| answer.path == secret.path && answer.version == secret.version;
        let place = if let Some(place) = answers.iter().position(known) {
            place
        } else {
            let fields = fields(session, secret, &mut engines).await?;
            answers.push(Answer { path: &secret.path, version: secret.version, fields });
            answers.len() - 1
        };
        let value = value(secret, &answers[place].fields)?;
        secrets.push(FetchedSecret { name: secret.name.clone(), value });
    }
    Ok(secrets)
}

/// Reads the path of a reference.
async fn fields(
    session: &Session<'_>,
    secret: &SecretRef,
    engines: &mut Vec<Engine>,
) -> Result<Map<String, Value>, SecretError> {
    let (path, is_v2) = api_path(session, secret, engines).await?;
    let query = secret.version.map(|version| format!("version={version}"));
    let read = session.get(&path, query).await;
    let mut answer = read.map_err(|failed| refusal(session, secret, &path, &failed))?;
    if answer["lease_id"].as_str().is_some_and(|lease| !lease.is_empty()) {
        let reason = format!(
            "{path} gives leased secrets, which would end with the token; only static ones can be had"
        );
        return Err(SecretMissing::Reference { name: secret.name.clone(), reason }.into());
    }
    let fields = if is_v2 { answer["data"]["data"].take() } else { answer["data"].take() };
    match fields {
        Value::Object(fields) => Ok(fields),
        _ => {
            Err(deleted(secret, &answer).unwrap_or_else(|| missing(session, secret, &path)).into())
        }
    }
}

/// The path as the API wants it, and whether it is one of KV v2.
async fn api_path(
    session: &Session<'_>,
    secret: &SecretRef,
    engines: &mut Vec<Engine>,
) -> Result<(String, bool), SecretError> {
    let path = &secret.path;
    let (mount, kv) =
        match (secret.kv, engines.iter().find(|engine| path.starts_with(&engine.mount))) {
            (Some(kv), _) => (path.split_inclusive('/').next().unwrap_or_default().to_owned(), kv),
            (None, Some(engine)) => (engine.mount.clone(), engine.kv),
            (None, None) => {
                let engine = find_engine(session, path).await?;
                let found = (engine.mount.clone(), engine.kv);
                engines.push(engine);
                found
            }
        };
    if secret.version.is_some() && kv != KvVersion::V2 {
        let reason = format!("{path} has no versions, as {mount} is not KV v2");
        return Err(SecretMissing::Reference { name: secret.name.clone(), reason }.into());
    }
    match path.strip_prefix(&mount) {
        Some(rest) if kv == KvVersion::V2 => Ok((format!("{mount}data/{rest}"), true)),
        _ => Ok((path.clone(), false)),
    }
}

async fn find_engine(session: &Session<'_>, path: &str) -> Result<Engine, SecretError> {
    let found = engine(session, path).await;
    Ok(found.map_err(|failed| session.error(&Step::Mounts(path.to_owned()), &failed))?)
}

/// Asks which engine a path belongs to. The token needs any grant there, and none beside.
pub(super) async fn engine(session: &Session<'_>, path: &str) -> Result<Engine, Failed> {
    let answer = session.get(&format!("sys/internal/ui/mounts/{path}"), None).await?;
    let data = &answer["data"];
    let mount = data["path"].as_str().unwrap_or_default();
    let is_kv = matches!(data["type"].as_str(), Some("kv" | "generic"));
    let kv = match data["options"]["version"].as_str() {
        Some("2") if is_kv => KvVersion::V2,
        _ if is_kv => KvVersion::V1,
        _ => KvVersion::Raw,
    };
    if mount.ends_with('/') && path.starts_with(mount) {
        Ok(Engine { mount: mount.to_owned(), kv })
    } else {
        Err(Failed::malformed("the answer names no mount of that path"))
    }
}

/// Tells the many meanings of a refused read apart.
fn refusal(session: &Session<'_>, secret: &SecretRef, path: &str, failed: &Failed) -> SecretError {
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

fn missing(session: &Session<'_>, secret: &SecretRef, path: &str) -> SecretMissing {
    let path = match secret.version {
        Some(version) => format!("{path} in version {version}"),
        None => path.to_owned(),
    };
    SecretMissing::Path { name: secret.name.clone(), path, at: session.at().to_owned() }
}

/// A deleted version answers with its metadata in place of its fields.
fn deleted(secret: &SecretRef, answer: &Value) -> Option<SecretMissing> {
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

/// The bytes of a reference's field.
fn value(secret: &SecretRef, fields: &Map<String, Value>) -> Result<Secret, SecretMissing> {
    let Some(field) = &secret.field else {
        return Ok(Secret::new(serde_json::to_vec(fields).unwrap_or_default()));
    };
    let (name, path) = (secret.name.clone(), secret.path.clone());
    match fields.get(field) {
        Some(Value::String(text)) => Ok(Secret::new(text.as_bytes())),
        Some(Value::Null) => Err(SecretMissing::Null { name, path, field: field.clone() }),
        Some(other) => Ok(Secret::new(other.to_string())),
        None => {
            let mut has: Vec<String> = fields.keys().cloned().collect();
            has.sort_unstable();
            Err(SecretMissing::Field { name, path, field: field.clone(), has })
        }
    }
}
