//! One object of a bucket, by addresses that the runner signed: asked for, fetched, put. The signature is in
//! the address, so no address is ever shown.

use super::super::error::TransferError;
use super::super::http::{self, Trust, no_answer, setup};
use super::local::{self, Draft};
use super::options::Bucket;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LAST_MODIFIED};
use reqwest::{Body, Client, Response, StatusCode, Url};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio_util::io::ReaderStream;

/// What errors call it.
const STORE: &str = "the cache server";
/// Bytes read from disk at once.
const CHUNK: usize = 256 * 1024;

/// What a bucket has under one address.
#[derive(Debug)]
pub(super) struct Object {
    client: Client,
    url: Url,
    timeout: Duration,
}

/// What came with an object.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Bytes.
    pub(super) length: u64,
    /// The pairs that were put with it.
    pub(super) metadata: BTreeMap<String, String>,
}

impl Object {
    /// The object at a signed address.
    ///
    /// # Errors
    /// When it is no http or https address.
    pub(super) fn new(bucket: &Bucket, address: &str) -> Result<Self, TransferError> {
        let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url =
            url.ok_or_else(|| setup("the cache's address is neither http nor https".into()))?;
        let trust = Trust { ca_file: bucket.ca_file.as_deref(), identity: None };
        let client = http::client(&url, trust)?.build();
        let client = client.map_err(|error| setup(format!("TLS: {}", http::chain(&error))))?;
        Ok(Self { client, url, timeout: bucket.timeout })
    }

    /// When the object was put; `None` when there is none, or the bucket does not tell.
    pub(super) async fn modified(&self) -> Option<SystemTime> {
        let answer = self.client.head(self.url.clone()).timeout(self.timeout).send().await.ok()?;
        answer.status().is_success().then(|| last_modified(answer.headers()))?
    }

    /// Whether the object is there.
    pub(super) async fn exists(&self) -> bool {
        let answer = self.client.head(self.url.clone()).timeout(self.timeout).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Fetches the object to its place, unless what is there is as new.
    ///
    /// # Errors
    /// When the bucket has none, does not answer or refuses. `None` is one that need not be fetched.
    pub(super) async fn fetch(&self, place: &Path) -> Result<Option<Fetched>, TransferError> {
        let request = self.client.get(self.url.clone()).timeout(self.timeout);
        let answer = request.send().await.map_err(|source| no_answer(STORE, &self.url, source))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(TransferError::NotInBucket);
        }
        let answer = http::accepted(STORE, answer, hint).await?;
        let modified = last_modified(answer.headers());
        let here = local::modified(place);
        if here.zip(modified).is_some_and(|(here, there)| there <= here) {
            return Ok(None);
        }
        let metadata = metadata(answer.headers());
        let draft = Draft::beside(place)?;
        let length = self.save(answer, &draft).await?;
        draft.keep(modified)?;
        Ok(Some(Fetched { length, metadata }))
    }

    async fn save(&self, mut answer: Response, draft: &Draft) -> Result<u64, TransferError> {
        let mut file = draft.file()?;
        let mut length = 0;
        let broken = |source| no_answer(STORE, &self.url, source);
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            file.write_all(&chunk)
                .map_err(|source| local::error("write", Path::new("the cache"), source))?;
            length += chunk.len() as u64;
        }
        Ok(length)
    }

    /// Puts a file, with the headers that were signed.
    ///
    /// # Errors
    /// When the file cannot be read, the bucket does not answer or refuses.
    pub(super) async fn put(
        &self,
        place: &Path,
        headers: &[(String, String)],
    ) -> Result<u64, TransferError> {
        let failed = |source| local::error("read", place, source);
        let file = tokio::fs::File::open(place).await.map_err(failed)?;
        let about = file.metadata().await.map_err(failed)?;
        // Buckets take no body of unknown length.
        let mut request = self.client.put(self.url.clone()).header(CONTENT_LENGTH, about.len());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str())) {
            request = request.header(CONTENT_TYPE, "application/octet-stream");
        }
        if let Ok(modified) = about.modified() {
            request = request.header(LAST_MODIFIED, httpdate::fmt_http_date(modified));
        }
        let body = Body::wrap_stream(ReaderStream::with_capacity(file, CHUNK));
        let answer = request.body(body).timeout(self.timeout).send().await;
        let answer = answer.map_err(|source| no_answer(STORE, &self.url, source))?;
        http::accepted(STORE, answer, hint).await?;
        Ok(about.len())
    }
}

fn last_modified(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(LAST_MODIFIED)?.to_str().ok()?).ok()
}

/// `X-Amz-Meta-Key`, `X-Goog-Meta-Key`: what was put with the object.
fn metadata(headers: &HeaderMap) -> BTreeMap<String, String> {
    let pair = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        let mut parts = name.as_str().splitn(4, '-');
        let marks = (parts.next()?, parts.next()?, parts.next()?);
        let key = parts.next()?;
        (marks.0 == "x" && marks.2 == "meta")
            .then(|| Some((key.to_owned(), value.to_str().ok()?.to_owned())))?
    };
    headers.iter().filter_map(pair).collect()
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            "the runner's signature is refused: it may have expired, or the key in [runners.cache] may not \
             do this; some buckets answer so for what is not there"
        }
        StatusCode::PAYLOAD_TOO_LARGE => "the archive is larger than the bucket takes",
        status if status.is_server_error() => "the bucket has trouble of its own",
        _ => "see [runners.cache] in the runner's config.toml",
    }
}
