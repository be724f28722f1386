//! Manifests that are made to be deleted, so that a tag goes and what it pointed to stays; and those that an
//! interrupted prune has left. It decides nothing.

use bytes::Bytes;
use reqwest::Client;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use serde::Deserialize;
use serde_json::json;

use super::http::{Refused, told};
use super::tags::{Repository, digest_of, done, header, there};
use crate::engine::EngineError;

/// The kind that every registry takes.
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The label of a configuration that nobody else has.
const THROW_AWAY: &str = "longshore.throw-away";

/// A manifest's configuration and layers, as far as they tell one that was made to be thrown away.
#[derive(Deserialize)]
struct Parts {
    config: Part,
    layers: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    digest: String,
}

impl Repository<'_> {
    /// Whether a tag points to a manifest of ours that was made to be thrown away: whoever made it was killed
    /// before that, or the registry went down. `false` where there is no such tag.
    ///
    /// # Errors
    /// The registry does not answer.
    pub async fn is_throw_away(&self, tag: &str) -> Result<bool, EngineError> {
        let asked = async {
            let Some(manifest) = self.get(tag).await? else { return Ok(false) };
            // Another kind of manifest has other parts.
            let parts = serde_json::from_slice::<Parts>(&manifest.bytes).ok();
            let Some(Parts { config, .. }) = parts.filter(|parts| parts.layers.is_empty()) else {
                return Ok(false);
            };
            let url = format!("{}blobs/{}", self.base, config.digest);
            let answer = there(self.session.send(|client| client.get(&url)).await?)?;
            let Some(answer) = answer else { return Ok(false) };
            let text = answer.bytes().await.map_err(told)?;
            let config: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            Ok(!config["config"]["Labels"][THROW_AWAY].is_null())
        };
        asked.await.map_err(|refused| self.failed("look into", tag, refused))
    }

    /// Takes a tag away where the registry deletes by digest alone: points it to a manifest made for this, and
    /// deletes that.
    pub(super) async fn through_throw_away(&self, tag: &str, nonce: &str) -> Result<(), Refused> {
        let Some(before) = self.get(tag).await? else { return Ok(()) };
        let manifest = self.throw_away(nonce).await?;
        let replaced = async {
            self.put_bytes(tag, MANIFEST, &manifest).await?;
            done(self.delete(&digest_of(&manifest)).await?)
        };
        // Where only the answer was lost, the tag may point to nothing by now, or to the empty manifest.
        let Err(refused) = replaced.await else { return Ok(()) };
        let Err(lost) = self.put_bytes(tag, &before.kind, &before.bytes).await else {
            return Err(refused);
        };
        let cause = format!(
            "{}, and the tag could not be put back ({}): it points to an empty manifest now, and was {}",
            refused.cause, lost.cause, before.digest
        );
        Err(Refused { cause, ..refused })
    }

    /// Uploads a configuration that nobody else has, and answers a manifest of it.
    async fn throw_away(&self, nonce: &str) -> Result<Bytes, Refused> {
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Labels": {THROW_AWAY: nonce}},
            "rootfs": {"type": "layers", "diff_ids": []}, "history": [],
        });
        let config = Bytes::from(config.to_string());
        let digest = digest_of(&config);
        let begin = format!("{}blobs/uploads/", self.base);
        let answer =
            self.session.send(|client| client.post(&begin).header(CONTENT_LENGTH, 0)).await?;
        let answer = done(answer)?;
        let place = header(answer.headers(), LOCATION.as_str())
            .ok_or_else(|| Refused::failed("the registry names no place for an upload"))?;
        let mut place = answer.url().join(&place).map_err(Refused::failed)?;
        place.query_pairs_mut().append_pair("digest", &digest);
        let put = |client: &Client| {
            let request =
                client.put(place.clone()).header(CONTENT_TYPE, "application/octet-stream");
            request.body(config.clone())
        };
        done(self.session.send(put).await?)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": config.len(), "digest": digest,
            },
        });
        Ok(Bytes::from(manifest.to_string()))
    }
}
