//! The daemon's answers, cut down to what is the job's own: objects of others go, and so do our labels,
//! paths of the host and the names that things have there. Pure; what cannot be read does not pass (T12).

use serde_json::{Map, Value, json};

use super::name::{ImageName, is_hex};
use super::outgoing::{Kind, Shape};
use super::policy::NEWEST_API;
use super::refusal::Refusal;
use super::view::JobView;

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

/// Mounts without their places on the host; what a symbolic link leads to is none of the client's.
fn without_sources(fields: &mut Fields) {
    let Some(Value::Array(mounts)) = fields.get_mut("Mounts") else { return };
    mounts.retain(|mount| {
        let at = mount.get("Destination").and_then(Value::as_str).unwrap_or_default();
        !at.starts_with("/.longshore")
    });
    for mount in mounts.iter_mut().filter_map(Value::as_object_mut) {
        mount.insert("Source".to_owned(), json!(""));
    }
}

/// The name under which the job uses an image, for its id.
fn image_name(view: &JobView, id: &str) -> Option<String> {
    let found = view.own.images.iter().find(|(_, known)| *known == id)?;
    Some(ImageName::read(found.0).map_or_else(|| found.0.clone(), |name| name.familiar()))
}

fn named_image(view: &JobView, fields: &mut Fields) {
    if let Some(name) = image_name(view, text(fields, "Image")) {
        fields.insert("Image".to_owned(), json!(name));
    }
}

fn container_line(view: &JobView, mut one: Fields) -> Option<Value> {
    if !view.owns(Kind::Container, text(&one, "Id")) {
        return None;
    }
    without_our_labels(&mut one);
    without_sources(&mut one);
    named_image(view, &mut one);
    Some(Value::Object(one))
}

fn container(view: &JobView, mut one: Fields) -> Value {
    let host = [
        "GraphDriver",
        "LogPath",
        "ResolvConfPath",
        "HostnamePath",
        "HostsPath",
        "AppArmorProfile",
        "ProcessLabel",
        "MountLabel",
        "Storage",
    ];
    without(&mut one, &host);
    without_sources(&mut one);
    if let Some(Value::Object(config)) = one.get_mut("Config") {
        without_our_labels(config);
        named_image(view, config);
    }
    if let Some(Value::Object(host)) = one.get_mut("HostConfig") {
        without(host, &["CgroupParent", "Mounts", "Runtime", "ContainerIDFile"]);
    }
    if let Some(Value::Object(network)) = one.get_mut("NetworkSettings") {
        without(network, &["SandboxKey"]);
    }
    Value::Object(one)
}

/// Whether the job may know that an image has this name.
fn is_visible(view: &JobView, written: &str) -> bool {
    let Some(name) = ImageName::read(written) else { return false };
    let tagged = view.own.images.contains_key(&name.reference());
    let of_repository = |known: &String| {
        ImageName::read(known).is_some_and(|known| known.repository == name.repository)
    };
    tagged || (name.digest.is_some() && view.own.images.keys().any(of_repository))
}

fn image(view: &JobView, mut one: Fields) -> Option<Value> {
    if !view.own.image_ids.contains(text(&one, "Id")) && !has_visible_tag(view, &one) {
        return None;
    }
    for key in ["RepoTags", "RepoDigests"] {
        if let Some(Value::Array(names)) = one.get_mut(key) {
            names.retain(|name| name.as_str().is_some_and(|name| is_visible(view, name)));
        }
    }
    without_our_labels(&mut one);
    if let Some(Value::Object(config)) = one.get_mut("Config") {
        without_our_labels(config);
    }
    without(&mut one, &["GraphDriver", "Container", "ContainerConfig", "Metadata", "Parent"]);
    for key in ["Containers", "SharedSize"] {
        if one.contains_key(key) {
            one.insert(key.to_owned(), json!(-1));
        }
    }
    Some(Value::Object(one))
}

fn has_visible_tag(view: &JobView, one: &Fields) -> bool {
    let tags = one.get("RepoTags").and_then(Value::as_array);
    tags.into_iter().flatten().filter_map(Value::as_str).any(|tag| is_visible(view, tag))
}

fn history(view: &JobView, mut one: Fields) -> Value {
    for key in ["CreatedBy", "Comment"] {
        if (view.secrets)(text(&one, key)).is_some() {
            one.insert(key.to_owned(), json!("[MASKED]"));
        }
    }
    if let Some(Value::Array(tags)) = one.get_mut("Tags") {
        tags.retain(|tag| tag.as_str().is_some_and(|tag| is_visible(view, tag)));
    }
    let layer = text(&one, "Id").to_owned();
    if !view.own.image_ids.contains(&layer) {
        one.insert("Id".to_owned(), json!("<missing>"));
    }
    Value::Object(one)
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
