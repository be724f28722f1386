//! Containers in the daemon's answers: the job's own, without what the host has for them.

use serde_json::{Value, json};

use super::image::named_image;
use super::{Fields, text, without, without_our_labels};
use crate::broker::outgoing::Kind;
use crate::broker::view::JobView;

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

/// One of a list; `None` for one of others.
pub(super) fn container_line(view: &JobView, mut one: Fields) -> Option<Value> {
    if !view.owns(Kind::Container, text(&one, "Id")) {
        return None;
    }
    without_our_labels(&mut one);
    without_sources(&mut one);
    named_image(view, &mut one);
    Some(Value::Object(one))
}

/// One that was asked for.
pub(super) fn container(view: &JobView, mut one: Fields) -> Value {
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
