//! From references to values: finds each path's engine, reads each path once, and takes the fields out.
//! Errors name paths and fields, never values.

use serde_json::{Map, Value, json};

mod field;

use super::address;
use super::client::{Failed, Session};
use super::failure::Failure;
use super::message::Step;
use super::retry::Repeating;
use super::transport::Ask;
use crate::plan::{KvVersion, SecretRef};
use crate::secrets::{FetchedSecret, Secret, SecretError, SecretMissing};

/// An engine that was found: its mount with a slash at the end, and its layout.
pub(super) struct Engine {
    pub(super) mount: String,
    pub(super) kv: KvVersion,
}

/// One path's fields, as they came.
struct Answer<'a> {
    of: &'a SecretRef,
    fields: Map<String, Value>,
}

/// A lease that came with an answer.
#[derive(Debug)]
pub(super) struct Leased {
    /// Name of the secret that it came with first.
    pub(super) name: String,
    pub(super) id: String,
    pub(super) seconds: u64,
    pub(super) renewable: bool,
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

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// One per reference, in their order.
    pub(super) secrets: Vec<FetchedSecret>,
    /// The texts inside of values that are JSON: scripts will take them out.
    pub(super) inside: Vec<Secret>,
    /// What ends with the token.
    pub(super) leases: Vec<Leased>,
}

/// Reads the values of all references. What was leased before a failure stands in `read` too.
pub(super) async fn all(
    session: &Session<'_>,
    wanted: &[SecretRef],
    read: &mut Read,
) -> Result<(), SecretError> {
    let mut engines: Vec<Engine> = Vec::new();
    let mut answers: Vec<Answer<'_>> = Vec::new();
    for secret in wanted {
        // User and password of one database login come with one answer.
        let known = |answer: &Answer<'_>| {
            let of = answer.of;
            (&of.path, of.version, &of.parameters)
                == (&secret.path, secret.version, &secret.parameters)
        };
        let place = if let Some(place) = answers.iter().position(known) {
            place
        } else {
            let found = find(session, secret, &mut engines).await?;
            read.leases.extend(lease(secret, &found.answer));
            let fields = fields(session, secret, found)?;
            answers.push(Answer { of: secret, fields });
            answers.len() - 1
        };
        let value = field::value(secret, &answers[place].fields)?;
        read.inside.extend(value.inside);
        read.secrets.push(FetchedSecret { name: secret.name.clone(), value: value.whole });
    }
    Ok(())
}

/// What lies at the path of a reference.
struct Found {
    /// As the API knows it.
    path: String,
    is_v2: bool,
    answer: Value,
}

async fn find(
    session: &Session<'_>,
    secret: &SecretRef,
    engines: &mut Vec<Engine>,
) -> Result<Found, SecretError> {
    let (path, is_v2) = api_path(session, secret, engines).await?;
    if !secret.parameters.is_empty() {
        return issue(session, secret, path).await;
    }
    let query = secret.version.map(|version| format!("version={version}"));
    match session.get(&path, query).await {
        Ok(answer) => Ok(Found { path, is_v2, answer }),
        Err(failed) => Err(refusal(session, secret, &path, &failed)),
    }
}

/// Has the engine issue a secret. If it is not known whether the first request arrived, it is sent once
/// more at most.
async fn issue(
    session: &Session<'_>,
    secret: &SecretRef,
    path: String,
) -> Result<Found, SecretError> {
    let body = json!(secret.parameters);
    let answer = session.ask(Repeating::Costs, || Ask::post(&path, body.clone())).await;
    let step = Step::Ask { doing: "issue", path: path.clone() };
    let answer = answer.map_err(|failed| session.error(&step, &failed))?;
    Ok(Found { path, is_v2: false, answer })
}

fn lease(secret: &SecretRef, answer: &Value) -> Option<Leased> {
    let id = answer["lease_id"].as_str().filter(|id| !id.is_empty())?;
    Some(Leased {
        name: secret.name.clone(),
        id: id.to_owned(),
        seconds: answer["lease_duration"].as_u64().unwrap_or_default(),
        renewable: answer["renewable"].as_bool().unwrap_or_default(),
    })
}

fn fields(
    session: &Session<'_>,
    secret: &SecretRef,
    mut found: Found,
) -> Result<Map<String, Value>, SecretError> {
    let data = &mut found.answer["data"];
    let fields = if found.is_v2 { data["data"].take() } else { data.take() };
    if let Value::Object(fields) = fields {
        return Ok(fields);
    }
    let deleted = deleted(secret, &found.answer);
    Err(deleted.unwrap_or_else(|| missing(session, secret, &found.path)).into())
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
    if !secret.parameters.is_empty() && kv != KvVersion::Raw {
        let reason =
            format!("{path} lies in KV, where its parameters would be written as a secret");
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
