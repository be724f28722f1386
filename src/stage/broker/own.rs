//! What the job has made through its socket in stages before this one, read from the labels that all of it
//! carries.

use serde_json::{Value, json};

use crate::broker::forward::Address;
use crate::broker::outgoing::Kind;
use crate::broker::view::JobView;
use crate::stage::error::CallError;

/// Tells the view of all that is there.
///
/// # Errors
/// The daemon does not list it.
pub(super) async fn adopt(view: &mut JobView, daemon: &Address) -> Result<(), CallError> {
    let label = |key: &str, value: &str| format!("{key}={value}");
    let labels = [
        label("longshore.job", &view.key),
        label("longshore.kind", view.labels.get("longshore.kind").map_or("", String::as_str)),
    ];
    let filters = json!({ "label": labels }).to_string();
    let list = async |path: &str| {
        let query = [("all", "1"), ("filters", filters.as_str())];
        daemon.look(path, &query).await.map_err(CallError::system)
    };
    for one in each(&list("/containers/json").await?) {
        let names = one.get("Names").and_then(Value::as_array);
        let name = names.and_then(|names| names.first()).and_then(Value::as_str);
        view.adopt(Kind::Container, text(one, "Id"), name.unwrap_or_default());
    }
    for one in each(&list("/networks").await?) {
        view.adopt(Kind::Network, text(one, "Id"), text(one, "Name"));
    }
    for one in each(list("/volumes").await?.get("Volumes").unwrap_or(&Value::Null)) {
        view.adopt(Kind::Volume, text(one, "Name"), text(one, "Name"));
    }
    // Images carry no labels of the job's, but names that are its alone.
    let images = daemon.look("/images/json", &[]).await.map_err(CallError::system)?;
    let begin = view.local_prefix();
    for one in each(&images) {
        let tags = one.get("RepoTags").and_then(Value::as_array).into_iter().flatten();
        for tag in tags.filter_map(Value::as_str).filter(|tag| tag.starts_with(&begin)) {
            view.record_image(tag, text(one, "Id"));
        }
    }
    Ok(())
}

fn each(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(one: &'a Value, key: &str) -> &'a str {
    one.get(key).and_then(Value::as_str).unwrap_or_default()
}
