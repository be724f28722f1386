//! Images in the daemon's answers: those that the job may use, under the names that it may know.

use serde_json::{Value, json};

use super::{Fields, text, without, without_our_labels};
use crate::broker::name::ImageName;
use crate::broker::view::JobView;

/// The name under which the job uses an image, for its id.
fn image_name(view: &JobView, id: &str) -> Option<String> {
    let found = view.own.images.iter().find(|(_, known)| *known == id)?;
    Some(ImageName::read(found.0).map_or_else(|| found.0.clone(), |name| name.familiar()))
}

/// Shows a container's image by its name.
pub(super) fn named_image(view: &JobView, fields: &mut Fields) {
    if let Some(name) = image_name(view, text(fields, "Image")) {
        fields.insert("Image".to_owned(), json!(name));
    }
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

/// One image; `None` for one that the job may not use.
pub(super) fn image(view: &JobView, mut one: Fields) -> Option<Value> {
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

/// A step of an image's making.
pub(super) fn history(view: &JobView, mut one: Fields) -> Value {
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
