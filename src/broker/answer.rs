//! The daemon's answers, cut down to what is the job's own: objects of others go, and so do our labels,
//! paths of the host and the names that things have there. Pure; what cannot be read does not pass (T12).

mod container;
mod image;

use serde_json::{Map, Value, json};

use super::name::is_hex;
use super::outgoing::{Kind, Shape};
use super::policy::NEWEST_API;
use super::refusal::Refusal;
use super::view::JobView;
use container::{container, container_line};
use image::{history, image};

/// One document, or one of a stream; empty where nothing of it is the job's.
///
/// # Errors
/// Where it is not what the daemon answers: 503.
pub fn document(shape: Shape, view: &JobView, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let strange = || {
        Refusal::malformed("answer", "the daemon's answer is none that is known").with_status(503)
    };
    let value: Value = serde_json::from_slice(body).map_err(|_| strange())?;
    let shown = match (shape, value) {
        (Shape::Containers, Value::Array(all)) => kept(all, |one| container_line(view, one)),
        (Shape::Images, Value::Array(all)) => kept(all, |one| image(view, one)),
        (Shape::Networks, Value::Array(all)) => kept(all, |one| network(view, one)),
        (Shape::Volumes, Value::Object(all)) => volumes(view, all),
        (Shape::History, Value::Array(all)) => kept(all, |one| Some(history(view, one))),
        (Shape::Container, Value::Object(one)) => container(view, one),
        (Shape::Image, Value::Object(one)) => image(view, one).ok_or_else(strange)?,
        (Shape::Network, Value::Object(one)) => network(view, one).ok_or_else(strange)?,
        (Shape::Volume, Value::Object(one)) => volume(view, one).ok_or_else(strange)?,
        (Shape::Version, Value::Object(one)) => version(view, &one),
        (Shape::Event, Value::Object(one)) => match event(view, one) {
            Some(event) => event,
            None => return Ok(Vec::new()),
        },
        (Shape::Plain | Shape::Progress | Shape::Exec, value) => value,
        _ => return Err(strange()),
    };
    Ok(shown_names(view, &shown.to_string()).into_bytes())
}

/// A refusal of the daemon's own: its words, without names and ids that are not the job's.
pub fn error(view: &JobView, body: &[u8]) -> Vec<u8> {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = value.get("message").and_then(Value::as_str);
    let message = message.unwrap_or("the daemon refused the request");
    let known = |word: &str| {
        let of_kind = |kind| view.all(kind).any(|(id, _)| id.starts_with(word));
        let image = |id: &String| id.trim_start_matches("sha256:").starts_with(word);
        [Kind::Container, Kind::Network, Kind::Exec].into_iter().any(of_kind)
            || view.own.image_ids.iter().any(image)
    };
    let is_id = |word: &str| word.len() >= 12 && is_hex(word) && !known(word);
    let mut clean = String::with_capacity(message.len());
    let mut word = String::new();
    for letter in message.chars().chain(['\0']) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        clean.push_str(if is_id(&word) { "(another)" } else { &word });
        word.clear();
        if letter != '\0' {
            clean.push(letter);
        }
    }
    shown_names(view, &json!({ "message": clean }).to_string()).into_bytes()
}

/// Names as the job gave them. They are of letters that JSON never escapes.
fn shown_names(view: &JobView, text: &str) -> String {
    text.replace(&view.prefix(), "").replace(&view.local_prefix(), "")
}

type Fields = Map<String, Value>;

fn kept(all: Vec<Value>, keep: impl Fn(Fields) -> Option<Value>) -> Value {
    let objects = all.into_iter().filter_map(|one| match one {
        Value::Object(one) => Some(one),
        _ => None,
    });
    Value::Array(objects.filter_map(keep).collect())
}

fn text<'a>(fields: &'a Fields, key: &str) -> &'a str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Ours tell of runner, host and project.
fn without_our_labels(fields: &mut Fields) {
    if let Some(Value::Object(labels)) = fields.get_mut("Labels") {
        labels.retain(|key, _| !key.starts_with("longshore."));
    }
}

fn without(fields: &mut Fields, keys: &[&str]) {
    fields.retain(|key, _| !keys.contains(&key.as_str()));
}

fn network(view: &JobView, mut one: Fields) -> Option<Value> {
    let (id, name) = (text(&one, "Id"), text(&one, "Name"));
    let jobs_own = name == view.network || Some(id) == view.network_id.as_deref();
    if !jobs_own && !view.owns(Kind::Network, id) {
        return None;
    }
    if let Some(Value::Object(containers)) = one.get_mut("Containers") {
        containers.retain(|id, _| view.owns(Kind::Container, id));
    }
    without_our_labels(&mut one);
    without(&mut one, &["Peers", "Services"]);
    Some(Value::Object(one))
}

fn volumes(view: &JobView, mut all: Fields) -> Value {
    if let Some(Value::Array(volumes)) = all.remove("Volumes") {
        all.insert("Volumes".to_owned(), kept(volumes, |one| volume(view, one)));
    }
    Value::Object(all)
}

fn volume(view: &JobView, mut one: Fields) -> Option<Value> {
    // The answer to a create comes before it is written down: its name begins as the job's do.
    let name = text(&one, "Name");
    if !view.owns(Kind::Volume, name) && !name.starts_with(&view.prefix()) {
        return None;
    }
    without_our_labels(&mut one);
    one.insert("Mountpoint".to_owned(), json!(""));
    without(&mut one, &["Status", "UsageData"]);
    Some(Value::Object(one))
}

fn event(view: &JobView, mut one: Fields) -> Option<Value> {
    let actor = one.get_mut("Actor")?.as_object_mut()?;
    let id = text(actor, "ID").to_owned();
    let attributes = actor.get_mut("Attributes").and_then(Value::as_object_mut)?;
    // A new one is told of before its id is known; labels alone may come from an image.
    let told = |key: &str| attributes.get(key).and_then(Value::as_str).unwrap_or_default();
    let new = told("longshore.job") == view.key && told("name").starts_with(&view.prefix());
    if !new && !view.owns(Kind::Container, &id) {
        return None;
    }
    attributes.retain(|key, _| !key.starts_with("longshore."));
    Some(Value::Object(one))
}

/// What clients choose their requests by; nothing of the host's kernel.
fn version(view: &JobView, one: &Fields) -> Value {
    let api = format!("1.{}", view.daemon.api_minor.min(NEWEST_API));
    let known = ["Version", "MinAPIVersion", "GitCommit", "GoVersion", "Os", "Arch", "Platform"];
    let mut shown: Fields =
        known.iter().filter_map(|key| Some(((*key).to_owned(), one.get(*key)?.clone()))).collect();
    shown.insert("ApiVersion".to_owned(), json!(api));
    let details = json!({"ApiVersion": api, "MinAPIVersion": text(one, "MinAPIVersion"),
        "Os": text(one, "Os"), "Arch": text(one, "Arch")});
    let engine = json!({"Name": "Engine", "Version": text(one, "Version"), "Details": details});
    shown.insert("Components".to_owned(), json!([engine]));
    Value::Object(shown)
}

#[cfg(test)]
mod tests;
