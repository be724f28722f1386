//! The connection to GitLab's artifact API: TLS, deadlines, redirects, and what an answer means. The job's
//! token goes to GitLab's own host and nowhere else.

use super::super::error::TransferError;
use super::super::http::{self, Trust, no_answer, setup};
use super::options::Target;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use std::time::Duration;

/// Redirects to follow; object storage needs one or two.
const MOST_HOPS: usize = 5;
/// What errors call it.
pub(crate) const COORDINATOR: &str = "the coordinator";

/// One job's artifacts at one GitLab.
#[derive(Debug)]
pub(crate) struct Coordinator<'a> {
    target: &'a Target,
    url: Url,
    silence: Option<Duration>,
}

impl<'a> Coordinator<'a> {
    /// Reads the base URL. `silence` is how long an answer may pause; it counts while a request is sent as
    /// well, so uploads have none.
    ///
    /// # Errors
    /// When it is no URL with a host.
    pub(crate) fn new(
        target: &'a Target,
        silence: Option<Duration>,
    ) -> Result<Self, TransferError> {
        let text = format!("{}/api/v4/jobs/{}/artifacts", target.url, target.job);
        let url = Url::parse(&text).map_err(|error| setup(format!("{text}: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(setup(format!("{text} is not an http or https address")));
        }
        Ok(Self { target, url, silence })
    }

    /// The address of the artifacts with these query pairs; empty values are left out.
    pub(crate) fn address(&self, query: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        for (key, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            url.query_pairs_mut().append_pair(key, value);
        }
        url
    }

    /// Sends a request and follows its redirects; `build` makes the request anew for each hop.
    ///
    /// # Errors
    /// When nobody answers, or the answer is a refusal.
    pub(crate) async fn send(
        &self,
        start: Url,
        build: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, TransferError> {
        let mut url = start;
        for _ in 0..MOST_HOPS {
            let mut request = build(&self.client(&url)?, url.clone());
            if self.is_ours(&url) {
                request = request.header("JOB-TOKEN", self.target.token.expose());
            }
            let response = self.answer(request, &url).await?;
            if !response.status().is_redirection() {
                return http::accepted(COORDINATOR, response, hint).await;
            }
            url = next_hop(&url, response.headers())?;
        }
        Err(TransferError::Redirect { problem: format!("more than {MOST_HOPS} of them") })
    }

    async fn answer(&self, request: RequestBuilder, url: &Url) -> Result<Response, TransferError> {
        let request = request.timeout(self.target.timeout);
        request.send().await.map_err(|source| no_answer(COORDINATOR, url, source))
    }

    /// Same host and port; from http to https at one host is an upgrade, the other way is not.
    fn is_ours(&self, url: &Url) -> bool {
        let same_host = url.host_str() == self.url.host_str();
        let same_port = url.port_or_known_default() == self.url.port_or_known_default();
        let upgrade =
            self.url.scheme() == "http" && url.scheme() == "https" && url.port().is_none();
        same_host && ((same_port && url.scheme() == self.url.scheme()) || upgrade)
    }

    fn client(&self, url: &Url) -> Result<Client, TransferError> {
        let trust = Trust {
            ca_file: self.target.ca_file.as_deref(),
            identity: self.target.identity.as_ref().filter(|_| self.is_ours(url)),
        };
        let mut builder = http::client(url, trust)?.redirect(reqwest::redirect::Policy::none());
        if let Some(silence) = self.silence {
            builder = builder.read_timeout(silence);
        }
        builder.build().map_err(|error| setup(format!("TLS: {}", http::chain(&error))))
    }
}

fn next_hop(url: &Url, headers: &HeaderMap) -> Result<Url, TransferError> {
    let redirect = |problem: &str| TransferError::Redirect { problem: problem.into() };
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| redirect("it has no Location"))?;
    let next = url.join(location).map_err(|_| redirect("its Location is no address"))?;
    match (url.scheme(), next.scheme()) {
        ("http", "http" | "https") | ("https", "https") => Ok(next),
        _ => Err(redirect("it leaves https")),
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "the job's token is refused: the job may have ended or been canceled, or may not read these"
        }
        StatusCode::NOT_FOUND => {
            "there are no such artifacts: they may have expired or never been made"
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            "the archive is larger than GitLab takes: upload less, or raise the maximum artifacts size"
        }
        status if status.is_server_error() => "GitLab has trouble of its own",
        _ => "another try with the same request would not help",
    }
}
