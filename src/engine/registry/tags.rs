//! The tags of one repository at its registry: what they point to, and how one is taken away without the
//! others. It decides nothing.
//!
//! Deleting a manifest by its digest takes every tag of it along. A registry of the OCI specification 1.1
//! deletes a tag by its name; one that cannot (distribution 2.8) has the tag pointed to a manifest made for
//! this alone, and that one deleted.

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LINK};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::http::{KINDS, Refused, Session, told};
use super::manifest_url;
use crate::engine::{EngineError, RegistryLogin};

/// Pages of a list of tags that are read: 100 000 tags at the usual size of one.
const PAGES: usize = 100;

/// One repository at its registry, as one login sees it.
pub struct Repository<'a> {
    name: String,
    pub(super) base: String,
    pub(super) session: Session<'a>,
}

/// What a tag points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// `sha256:...`
    pub digest: String,
    pub(super) kind: String,
    pub(super) bytes: Bytes,
}

#[derive(Deserialize)]
struct TagList {
    tags: Option<Vec<String>>,
}

impl<'a> Repository<'a> {
    /// The repository `host/path`; nothing is sent yet.
    ///
    /// # Errors
    /// The name has no host and path.
    pub fn new(name: &str, login: Option<&'a RegistryLogin>) -> Result<Self, EngineError> {
        let error = |refused| failure("speak to the registry of", name, refused);
        let url = manifest_url(name).ok_or_else(|| error(Refused::failed("it names no image")))?;
        let session = Session::new(&url, login).map_err(error)?;
        let base = url.trim_end_matches("manifests/latest").to_owned();
        Ok(Self { name: name.to_owned(), base, session })
    }

    /// The names of all tags.
    ///
    /// # Errors
    /// The registry does not answer, or not with them.
    pub async fn tags(&self) -> Result<Vec<String>, EngineError> {
        self.all_tags().await.map_err(|refused| failure("list the tags of", &self.name, refused))
    }

    /// The digest that a tag points to; `None` where there is no such tag.
    ///
    /// # Errors
    /// The registry does not answer, or with something else.
    pub async fn digest(&self, tag: &str) -> Result<Option<String>, EngineError> {
        let asked = async {
            let url = self.manifest(tag);
            let ask = |client: &Client| client.head(&url).header(ACCEPT, KINDS);
            let answer = self.session.send(ask).await?;
            let Some(answer) = there(answer)? else { return Ok(None) };
            match header(answer.headers(), "docker-content-digest") {
                Some(digest) => Ok(Some(digest)),
                None => Ok(self.get(tag).await?.map(|manifest| manifest.digest)),
            }
        };
        asked.await.map_err(|refused| self.failed("look up", tag, refused))
    }

    /// What a tag points to; `None` where there is no such tag.
    ///
    /// # Errors
    /// The registry does not answer, or with something else.
    pub async fn get_manifest(&self, tag: &str) -> Result<Option<Manifest>, EngineError> {
        self.get(tag).await.map_err(|refused| self.failed("get", tag, refused))
    }

    /// Points a tag to a manifest that the repository has, or had a moment ago.
    ///
    /// # Errors
    /// The registry does not take it.
    pub async fn put(&self, tag: &str, manifest: &Manifest) -> Result<(), EngineError> {
        let put = self.put_bytes(tag, &manifest.kind, &manifest.bytes);
        put.await.map_err(|refused| self.failed("put back", tag, refused))
    }

    /// Takes a tag away and leaves what it points to. `nonce` has to differ from all others.
    ///
    /// # Errors
    /// The registry does not do it; the tag is as it was, unless the error says otherwise.
    pub async fn untag(&self, tag: &str, nonce: &str) -> Result<(), EngineError> {
        let untagged = async {
            let answer = self.delete(tag).await?;
            match answer.status() {
                // Not by name: by a manifest of its own.
                StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED => {}
                StatusCode::NOT_FOUND => return Ok(()),
                status if status.is_success() => return Ok(()),
                _ => return Err(Refused::status(&answer)),
            }
            self.through_throw_away(tag, nonce).await
        };
        untagged.await.map_err(|refused| self.failed("remove the tag", tag, refused))
    }

    async fn all_tags(&self) -> Result<Vec<String>, Refused> {
        let mut tags = Vec::new();
        let mut next = format!("{}tags/list?n=1000", self.base);
        for _ in 0..PAGES {
            let Some(answer) = there(self.session.send(|client| client.get(&next)).await?)? else {
                break;
            };
            let link = header(answer.headers(), LINK.as_str());
            let link = link.as_deref().and_then(next_page).map(|link| answer.url().join(link));
            let bytes = answer.bytes().await.map_err(told)?;
            let page: TagList = serde_json::from_slice(&bytes).map_err(Refused::failed)?;
            tags.extend(page.tags.unwrap_or_default());
            match link {
                Some(link) => next = link.map_err(Refused::failed)?.into(),
                None => break,
            }
        }
        Ok(tags)
    }

    pub(super) async fn get(&self, tag: &str) -> Result<Option<Manifest>, Refused> {
        let url = self.manifest(tag);
        let answer = self.session.send(|client| client.get(&url).header(ACCEPT, KINDS)).await?;
        let Some(answer) = there(answer)? else { return Ok(None) };
        let kind = header(answer.headers(), CONTENT_TYPE.as_str()).unwrap_or_default();
        let bytes = answer.bytes().await.map_err(told)?;
        Ok(Some(Manifest { digest: digest_of(&bytes), kind, bytes }))
    }

    pub(super) async fn put_bytes(
        &self,
        tag: &str,
        kind: &str,
        bytes: &Bytes,
    ) -> Result<(), Refused> {
        let url = self.manifest(tag);
        let put = |client: &Client| client.put(&url).header(CONTENT_TYPE, kind).body(bytes.clone());
        done(self.session.send(put).await?).map(drop)
    }

    pub(super) async fn delete(&self, version: &str) -> Result<Response, Refused> {
        let url = self.manifest(version);
        self.session.send(|client| client.delete(&url)).await
    }

    fn manifest(&self, version: &str) -> String {
        format!("{}manifests/{version}", self.base)
    }

    pub(super) fn failed(&self, verb: &'static str, tag: &str, refused: Refused) -> EngineError {
        failure(verb, &format!("{}:{tag}", self.name), refused)
    }
}

fn failure(verb: &'static str, object: &str, refused: Refused) -> EngineError {
    let Refused { fault, cause, retry_after } = refused;
    EngineError { verb, object: object.to_owned(), fault, cause, retry_after }
}

/// What is there; `None` for a 404.
pub(super) fn there(answer: Response) -> Result<Option<Response>, Refused> {
    if answer.status() == StatusCode::NOT_FOUND { Ok(None) } else { done(answer).map(Some) }
}

pub(super) fn done(answer: Response) -> Result<Response, Refused> {
    if answer.status().is_success() { Ok(answer) } else { Err(Refused::status(&answer)) }
}

pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `<URL>; rel="next"`. Source: RFC 5988, as the distribution specification uses it.
fn next_page(link: &str) -> Option<&str> {
    let (address, rest) = link.trim_start().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then_some(address)
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_of_a_list() {
        assert_eq!(
            next_page("</v2/a/tags/list?last=b&n=2>; rel=\"next\""),
            Some("/v2/a/tags/list?last=b&n=2")
        );
        assert_eq!(next_page("</v2/a>; rel=\"prev\""), None);
        assert_eq!(next_page("odd"), None);
    }

    #[test]
    fn a_repository_at_its_registry() {
        let repository = Repository::new("reg.example:5000/team/app", None).unwrap();
        assert_eq!(
            repository.manifest("test"),
            "https://reg.example:5000/v2/team/app/manifests/test"
        );
    }
}
