//! An image as a registry keeps it: the small test image with a shell, and a layer of a test's own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::real::{BUSYBOX, socket};

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Manifest and blobs.
#[derive(Debug, Clone)]
pub struct Image {
    manifest: Vec<u8>,
    blobs: BTreeMap<String, Vec<u8>>,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

impl Image {
    /// The test image with one more layer, a file of these bytes: an image of its own for each content.
    pub fn with_layer(content: &[u8]) -> Self {
        let saved = saved(BUSYBOX);
        let index: Value = serde_json::from_slice(&saved["manifest.json"]).expect("a manifest");
        let name = |value: &Value| value.as_str().expect("a path").to_owned();
        let mut config: Value =
            serde_json::from_slice(&saved[&name(&index[0]["Config"])]).expect("a configuration");
        let layers = index[0]["Layers"].as_array().expect("layers");
        let mut layers: Vec<Vec<u8>> =
            layers.iter().map(|layer| saved[&name(layer)].clone()).collect();
        layers.push(layer(content));
        config["rootfs"]["diff_ids"] = layers.iter().map(|layer| digest(layer)).collect();
        config["history"] = layers.iter().map(|_| json!({"created_by": "test"})).collect();
        let config = serde_json::to_vec(&config).expect("it renders");
        let describe = |kind: &str, blob: &[u8]| json!({"mediaType": kind, "size": blob.len(), "digest": digest(blob)});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": describe("application/vnd.docker.container.image.v1+json", &config),
            "layers": layers.iter()
                .map(|layer| describe("application/vnd.docker.image.rootfs.diff.tar.gzip", layer))
                .collect::<Vec<_>>(),
        });
        let manifest = serde_json::to_vec(&manifest).expect("it renders");
        let blobs = layers.into_iter().chain([config]).map(|blob| (digest(&blob), blob)).collect();
        Self { manifest, blobs }
    }

    /// One that differs from all others.
    pub fn unique() -> Self {
        Self::with_layer(super::names::unique().as_bytes())
    }

    pub fn manifest(&self) -> Vec<u8> {
        self.manifest.clone()
    }

    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }

    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        self.blobs.get(digest).cloned()
    }
}

fn layer(content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, "content", content).expect("it fits");
    tar.into_inner().expect("it ends")
}

/// The files of `docker save`.
fn saved(image: &str) -> BTreeMap<String, Vec<u8>> {
    let mut socket = UnixStream::connect(socket()).expect("a Docker daemon must be there");
    write!(socket, "GET /images/{image}/get HTTP/1.0\r\nHost: docker\r\n\r\n").expect("it listens");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("it answers");
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let mut archive = tar::Archive::new(&answer[head + 4..]);
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("a whole archive");
        let path = entry.path().expect("a path").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a whole file");
        files.insert(path, bytes);
    }
    files
}
