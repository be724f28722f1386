//! What takes up room on the daemon's disk, and the removal of build cache, in the shapes of API 1.41.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use serde::{Deserialize, Deserializer};

use super::{DockerEngine, observe, raw};
use crate::engine::{
    CachePrune, CacheRecord, DiskUsage, EngineError, Fault, ImageUsage, VolumeUsage,
};
use crate::plan::container::Labels;

/// How long the daemon may take to count: it reads each volume's files.
const COUNT: Duration = Duration::from_mins(10);

/// How long the removal of build cache may take.
const PRUNE: Duration = Duration::from_mins(10);

/// Between two tries while another is counting.
const AGAIN: Duration = Duration::from_millis(500);

/// The answer of `GET /system/df`. Lists are `null` where they are empty.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    layers_size: i64,
    #[serde(deserialize_with = "or_none")]
    images: Vec<Image>,
    #[serde(deserialize_with = "or_none")]
    volumes: Vec<Volume>,
    #[serde(deserialize_with = "or_none")]
    build_cache: Vec<Record>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Image {
    id: String,
    parent_id: String,
    #[serde(deserialize_with = "or_none")]
    repo_tags: Vec<String>,
    #[serde(deserialize_with = "or_none")]
    repo_digests: Vec<String>,
    created: i64,
    size: i64,
    shared_size: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Volume {
    name: String,
    #[serde(deserialize_with = "or_none")]
    labels: Labels,
    created_at: String,
    usage_data: Option<VolumeData>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct VolumeData {
    size: i64,
    ref_count: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Record {
    #[serde(rename = "ID")]
    id: String,
    in_use: bool,
    shared: bool,
    size: i64,
    created_at: String,
    last_used_at: Option<String>,
}

fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Asks the daemon to count; where it is counting for somebody else, again once that is done.
pub(super) async fn count(engine: &DockerEngine) -> Result<DiskUsage, EngineError> {
    let mut call = engine.work("count what takes up room at", &engine.host);
    call.deadline = COUNT;
    let asked = async {
        loop {
            match raw::ask::<Answer>(engine, Method::GET, "/system/df").await {
                Err(error) if error.to_string().contains("already running") => {
                    tokio::time::sleep(AGAIN).await;
                }
                answer => return answer,
            }
        }
    };
    call.run(asked).await.map(usage)
}

/// Removes build cache, the least recently used first; answers the bytes.
pub(super) async fn prune(engine: &DockerEngine, asked: &CachePrune) -> Result<u64, EngineError> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Pruned {
        space_reclaimed: i64,
    }
    let mut call = engine.work("prune the build cache of", &engine.host);
    call.deadline = PRUNE;
    let seconds = asked.unused_for.as_secs();
    // {"until":["3600s"]}, percent-encoded.
    let path = format!(
        "/build/prune?all=1&keep-storage={}&filters=%7B%22until%22%3A%5B%22{seconds}s%22%5D%7D",
        asked.keep_bytes
    );
    let pruned: Pruned = call.run(raw::ask(engine, Method::POST, &path)).await?;
    Ok(observe::unsigned(pruned.space_reclaimed))
}

/// Where the daemon keeps its files, on its own host.
pub(super) async fn data_root(engine: &DockerEngine) -> Result<PathBuf, EngineError> {
    let call = engine.control("ask for the data root of", &engine.host);
    let answer = call.run(engine.docker.info()).await?;
    let root = answer.docker_root_dir.filter(|root| !root.is_empty());
    root.map(PathBuf::from)
        .ok_or_else(|| call.failed(Fault::Daemon, "the daemon does not tell it".to_owned()))
}

fn usage(answer: Answer) -> DiskUsage {
    DiskUsage {
        layers_bytes: observe::unsigned(answer.layers_size),
        images: answer.images.into_iter().map(image).collect(),
        volumes: answer.volumes.into_iter().map(volume).collect(),
        build_cache: answer.build_cache.into_iter().map(record).collect(),
    }
}

fn image(answer: Image) -> ImageUsage {
    ImageUsage {
        id: answer.id,
        parent: answer.parent_id,
        tags: observe::without_none(answer.repo_tags),
        digests: observe::without_none(answer.repo_digests),
        created: answer.created,
        size: observe::unsigned(answer.size),
        shared: observe::unsigned(answer.shared_size),
    }
}

fn volume(answer: Volume) -> VolumeUsage {
    // -1 is what it did not count.
    let size = answer.usage_data.as_ref().and_then(|data| u64::try_from(data.size).ok());
    VolumeUsage {
        name: answer.name,
        labels: answer.labels,
        created: observe::moment(&answer.created_at),
        size,
        users: answer.usage_data.map_or(0, |data| observe::unsigned(data.ref_count)),
    }
}

fn record(answer: Record) -> CacheRecord {
    CacheRecord {
        id: answer.id,
        size: observe::unsigned(answer.size),
        in_use: answer.in_use,
        shared: answer.shared,
        last_used: observe::moment(&answer.last_used_at.unwrap_or(answer.created_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_docker_20_10() {
        let answer = r#"{"LayersSize":1024,"Images":[{"Containers":1,"Created":1600000000,
            "Id":"sha256:a","Labels":null,"ParentId":"sha256:p","RepoDigests":["<none>@<none>"],
            "RepoTags":["a:1"],"SharedSize":10,"Size":100,"VirtualSize":100}],"Containers":null,
            "Volumes":[{"CreatedAt":"2026-01-02T03:04:05Z","Driver":"local","Labels":null,
            "Name":"v","Options":null,"Scope":"local","UsageData":{"RefCount":0,"Size":-1}}],
            "BuildCache":[{"ID":"r","Parent":"","Type":"regular","Description":"x","InUse":false,
            "Shared":true,"Size":7,"CreatedAt":"2026-01-01T00:00:00Z","LastUsedAt":null,
            "UsageCount":1}],"BuilderSize":7}"#;
        let usage = usage(serde_json::from_str(answer).unwrap());
        assert_eq!(usage.layers_bytes, 1024);
        let image = &usage.images[0];
        assert_eq!((image.parent.as_str(), image.size, image.shared), ("sha256:p", 100, 10));
        assert_eq!((image.tags.as_slice(), image.digests.len()), (&["a:1".to_owned()][..], 0));
        assert_eq!((usage.volumes[0].size, usage.volumes[0].users), (None, 0));
        assert_eq!(usage.build_cache[0].last_used, Some(1_767_225_600));
    }

    #[test]
    fn a_daemon_that_has_nothing_says_null() {
        let answer = r#"{"LayersSize":0,"Images":null,"Volumes":null,"BuildCache":null}"#;
        assert_eq!(usage(serde_json::from_str(answer).unwrap()), DiskUsage::default());
    }
}
