//! From references to values: finds each path's engine, reads each path once, and takes the fields out.
//! Errors name paths and fields, never values.

use serde::Deserialize;
use serde_json::{Value, json};

mod engine;
mod field;
mod refusal;

use super::address;
use super::client::Session;
use super::message::Step;
use super::retry::Repeating;
use super::transport::{Answer, Ask};
use crate::plan::{KvVersion, SecretRef};
use crate::secrets::{FetchedSecret, Secret, SecretError, SecretMissing};
use engine::Engine;
pub(super) use engine::engine;
use field::Fields;

/// One path's fields, as they came.
struct Known<'a> {
    of: &'a SecretRef,
    fields: Fields,
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
    let mut answers: Vec<Known<'_>> = Vec::new();
    for secret in wanted {
        // User and password of one database login come with one answer.
        let known = |answer: &Known<'_>| {
            let of = answer.of;
            (&of.path, of.version, &of.parameters)
                == (&secret.path, secret.version, &secret.parameters)
        };
        let place = if let Some(place) = answers.iter().position(known) {
            place
        } else {
            let found = find(session, secret, &mut engines).await?;
            read.leases.extend(lease(secret, &found.answer.value));
            let fields = fields(session, secret, &found)?;
            answers.push(Known { of: secret, fields });
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
    answer: Answer,
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
    let get = || Ask::get(&path, query.clone());
    match session.answer(Repeating::Harmless, get).await {
        Ok(answer) => Ok(Found { path, is_v2, answer }),
        Err(failed) => Err(refusal::told(session, secret, &path, &failed)),
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
    let answer = session.answer(Repeating::Costs, || Ask::post(&path, body.clone())).await;
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

/// What the fields of an answer stand in.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

fn fields(session: &Session<'_>, secret: &SecretRef, found: &Found) -> Result<Fields, SecretError> {
    let text = &found.answer.text;
    let fields = if found.is_v2 {
        serde_json::from_slice::<Envelope<Envelope<Fields>>>(text).map(|outer| outer.data.data)
    } else {
        serde_json::from_slice::<Envelope<Fields>>(text).map(|outer| outer.data)
    };
    // What stands there in place of fields may be secret too: the text of the error is dropped.
    fields.map_err(|_| {
        let deleted = refusal::deleted(secret, &found.answer.value);
        deleted.unwrap_or_else(|| refusal::missing(session, secret, &found.path)).into()
    })
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
                let engine = engine::find(session, path).await?;
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
