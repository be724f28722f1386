//! What the job has made through its socket in stages before this one, read from the labels that all of it
//! carries; of images, which carry none, from their names and from the ledger.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::broker::forward::Address;
use crate::broker::name::ImageName;
use crate::broker::outgoing::Kind;
use crate::broker::view::JobView;
use crate::host::ledger::Ledger;
use crate::host::ledger::image::ImageEntry;
use crate::stage::error::CallError;

/// Tells the view of all that is there.
///
/// # Errors
/// The daemon does not list it.
pub(super) async fn adopt(
    view: &mut JobView,
    daemon: &Address,
    ledger: &Ledger,
) -> Result<(), CallError> {
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
    let images = daemon.look("/images/json", &[]).await.map_err(CallError::system)?;
    let recorded = recorded(ledger, &view.key);
    for (reference, id) in own_images(each(&images), &view.local_prefix(), &recorded) {
        view.record_image(&reference, &id);
    }
    Ok(())
}

/// Those with a name that is the job's alone, or one that is what it was when the job made or pulled it.
fn own_images(
    images: &[Value],
    local_prefix: &str,
    recorded: &BTreeSet<(String, String)>,
) -> Vec<(String, String)> {
    let named = |one: &Value| {
        let tags = one.get("RepoTags").map_or(&[][..], each).iter().filter_map(Value::as_str);
        let id = text(one, "Id");
        let name = |name: ImageName| (name.reference(), id.to_owned());
        tags.filter_map(ImageName::read).map(name).collect::<Vec<_>>()
    };
    let all = images.iter().flat_map(named);
    all.filter(|one| one.0.starts_with(local_prefix) || recorded.contains(one)).collect()
}

/// References of images that the job made or pulled, each with what it may be.
fn recorded(ledger: &Ledger, job: &str) -> BTreeSet<(String, String)> {
    // A ledger that cannot be read is one that is not there.
    let entries = ledger.of_kinds(&["image"]).unwrap_or_default();
    let own = entries.iter().filter_map(ImageEntry::read).filter(|image| image.job == job);
    let pairs = |image: ImageEntry| {
        let ids = image.images;
        let each = |name: String| ids.iter().map(move |id| (name.clone(), id.clone()));
        image.references.into_iter().flat_map(each).collect::<Vec<_>>()
    };
    own.flat_map(pairs).collect()
}

fn each(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(one: &'a Value, key: &str) -> &'a str {
    one.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::broker::outgoing::Deed;
    use crate::host::ledger::Event;

    const REPOSITORY: &str = "registry.example/team/app";

    #[test]
    fn a_name_that_another_job_has_given_since_is_not_the_jobs_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(directory.path());
        let reference = |tag: &str| vec![format!("{REPOSITORY}:{tag}")];
        let record = |job, deed, references: &[String], id: &str| {
            let (project, pipeline, images) = ("team/app", 1, &[id.to_owned()]);
            let event =
                Event::Image { job, project, pipeline, deed, references, images, digest: None };
            ledger.append(&event, SystemTime::UNIX_EPOCH).unwrap();
        };
        record("7-a", Deed::Built, &reference("built"), "sha256:1");
        record("7-a", Deed::Built, &reference("moved"), "sha256:1");
        record("8-a", Deed::Built, &reference("others"), "sha256:2");
        record("8-a", Deed::Built, &reference("moved"), "sha256:2");
        record("7-a", Deed::Pulled, &["docker.io/library/busybox:1".to_owned()], "sha256:3");
        let image = |id, tags: &[&str]| json!({"Id": id, "RepoTags": tags});
        let of = |tag: &str| format!("{REPOSITORY}:{tag}");
        let images = [
            image("sha256:1", &[&of("built"), "longshore.invalid/7-a/mine:1"]),
            image("sha256:2", &[&of("others"), &of("moved"), "longshore.invalid/8-a/its:1"]),
            image("sha256:3", &["busybox:1", "busybox:2"]),
            json!({"Id": "sha256:4", "RepoTags": null}),
        ];
        let found = own_images(&images, "longshore.invalid/7-a/", &recorded(&ledger, "7-a"));
        let pair = |name: &str, id: &str| (name.to_owned(), id.to_owned());
        let expected = [
            pair(&of("built"), "sha256:1"),
            pair("longshore.invalid/7-a/mine:1", "sha256:1"),
            pair("docker.io/library/busybox:1", "sha256:3"),
        ];
        assert_eq!(found, expected);
        let nowhere = Ledger::at(std::path::Path::new("/nowhere"));
        assert!(recorded(&nowhere, "7-a").is_empty());
    }
}
