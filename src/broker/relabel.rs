//! An image without the labels of ours that a commit takes over from its container: as an archive that holds its
//! configuration alone, since the daemon has all of its layers. Pure.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// How our labels begin, in any case.
const OURS: &str = "longshore.";

/// An image to be loaded.
#[derive(Debug, PartialEq, Eq)]
pub struct Relabelled {
    /// The id that it will have.
    pub id: String,
    /// What the daemon loads.
    pub archive: Vec<u8>,
}

/// The image that `GET /images/ID/json` and `/history` tell of, without our labels, under this name; `None` where
/// the daemon does not say what an image is.
pub fn relabelled(image: &Value, history: &Value, name: Option<&str>) -> Option<Relabelled> {
    let layers = image.pointer("/RootFS/Layers")?.as_array()?;
    let mut config = image.get("Config")?.as_object()?.clone();
    if let Some(Value::Object(labels)) = config.get_mut("Labels") {
        labels.retain(|name, _| !name.to_lowercase().starts_with(OURS));
    }
    let mut document = Map::new();
    for (key, from) in [
        ("architecture", "Architecture"),
        ("variant", "Variant"),
        ("os", "Os"),
        ("created", "Created"),
        ("author", "Author"),
        ("comment", "Comment"),
        ("docker_version", "DockerVersion"),
    ] {
        if let Some(text) = image.get(from).and_then(Value::as_str).filter(|text| !text.is_empty())
        {
            document.insert(key.to_owned(), json!(text));
        }
    }
    document.insert("config".to_owned(), Value::Object(config));
    document.insert("rootfs".to_owned(), json!({"type": "layers", "diff_ids": layers}));
    if let Some(steps) = steps(history, layers.len()) {
        document.insert("history".to_owned(), steps);
    }
    let document = Value::Object(document).to_string();
    let hex =
        Sha256::digest(&document).iter().fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
    let manifest = json!([{
        "Config": format!("{hex}.json"),
        "RepoTags": name.into_iter().collect::<Vec<_>>(),
        // Names of files that are not there, and that no daemon looks for which has these layers.
        "Layers": (0..layers.len()).map(|layer| format!("{layer}/layer.tar")).collect::<Vec<_>>(),
    }]);
    let files = [(format!("{hex}.json"), document), ("manifest.json".into(), manifest.to_string())];
    Some(Relabelled { id: format!("sha256:{hex}"), archive: archive(&files)? })
}

/// The history as images have it, oldest first. The daemon does not say which steps have a layer; where their
/// sizes do not tell either, there is none, as a wrong one makes an image that cannot be pushed.
fn steps(history: &Value, layers: usize) -> Option<Value> {
    let told = history.as_array()?;
    let is_empty = |step: &Value| step.get("Size").and_then(Value::as_u64) == Some(0);
    if told.iter().filter(|step| !is_empty(step)).count() != layers {
        return None;
    }
    let steps = told.iter().rev().map(|step| {
        let mut written = json!({
            "created_by": step.get("CreatedBy"),
            "comment": step.get("Comment"),
        });
        if is_empty(step) {
            written["empty_layer"] = json!(true);
        }
        written
    });
    Some(steps.collect())
}

fn archive(files: &[(String, String)]) -> Option<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes()).ok()?;
    }
    archive.into_inner().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn image(labels: &Value) -> Value {
        json!({
            "Id": "sha256:0", "Architecture": "amd64", "Os": "linux", "Variant": "",
            "Created": "2026-01-02T03:04:05Z", "RootFS": {"Type": "layers", "Layers": ["sha256:a", "sha256:b"]},
            "Config": {"Cmd": ["sh"], "Labels": labels},
        })
    }

    fn file(relabelled: &Relabelled, name: &str) -> Value {
        let mut archive = tar::Archive::new(relabelled.archive.as_slice());
        let mut entries = archive.entries().unwrap().map(Result::unwrap);
        let mut found = entries.find(|entry| entry.path().unwrap().to_str() == Some(name)).unwrap();
        let mut text = String::new();
        found.read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn config(relabelled: &Relabelled) -> Value {
        file(relabelled, &format!("{}.json", relabelled.id.strip_prefix("sha256:").unwrap()))
    }

    #[test]
    fn our_labels_go_and_all_else_stays() {
        let labels =
            json!({"longshore.job": "1", "LongShore.x": "", "longshored": "mine", "of": "me"});
        let made = relabelled(&image(&labels), &Value::Null, Some("a:1")).unwrap();
        let config = config(&made);
        assert_eq!(config["config"]["Labels"], json!({"longshored": "mine", "of": "me"}));
        assert_eq!(config["config"]["Cmd"], json!(["sh"]));
        assert_eq!(config["rootfs"]["diff_ids"], json!(["sha256:a", "sha256:b"]));
        assert_eq!(config.get("variant"), None);
        let manifest = file(&made, "manifest.json");
        assert_eq!(manifest[0]["RepoTags"], json!(["a:1"]));
        assert_eq!(manifest[0]["Layers"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_history_is_written_where_it_fits_the_layers() {
        let history = json!([
            {"CreatedBy": "newest", "Comment": "c", "Size": 5},
            {"CreatedBy": "CMD", "Comment": "", "Size": 0},
            {"CreatedBy": "oldest", "Comment": "", "Size": 7},
        ]);
        let made = relabelled(&image(&json!(null)), &history, None).unwrap();
        let steps = &config(&made)["history"];
        assert_eq!(steps[0]["created_by"], "oldest");
        assert_eq!(steps[1]["empty_layer"], true);
        assert_eq!(steps[2].get("empty_layer"), None);
        let unclear = json!([{"CreatedBy": "made a directory", "Size": 0}]);
        let made = relabelled(&image(&json!(null)), &unclear, None).unwrap();
        assert_eq!(config(&made).get("history"), None);
    }

    #[test]
    fn what_is_no_image_is_none() {
        assert_eq!(relabelled(&Value::Null, &Value::Null, None), None);
        assert_eq!(relabelled(&json!({"Config": {}}), &Value::Null, None), None);
    }
}
