//! The connection to GitLab's artifact API: TLS, deadlines, redirects, and what an answer means. The job's
//! token goes to GitLab's own host and nowhere else.

use super::error::ArtifactsError;
use super::options::Target;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Client, Identity, RequestBuilder, Response, StatusCode, Url};
use std::path::PathBuf;
use std::time::Duration;

/// Redirects to follow; object storage needs one or two.
const MOST_HOPS: usize = 5;
/// For a connection to come about.
const CONNECT: Duration = Duration::from_secs(30);
/// As much of an error's body as is worth showing.
const SHOWN: usize = 1000;

/// One job's artifacts at one GitLab.
#[derive(Debug)]
pub(super) struct Coordinator<'a> {
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
    pub(super) fn new(
        target: &'a Target,
        silence: Option<Duration>,
    ) -> Result<Self, ArtifactsError> {
        let text = format!("{}/api/v4/jobs/{}/artifacts", target.url, target.job);
        let url = Url::parse(&text).map_err(|error| setup(format!("{text}: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(setup(format!("{text} is not an http or https address")));
        }
        Ok(Self { target, url, silence })
    }

    /// The address of the artifacts with these query pairs; empty values are left out.
    pub(super) fn address(&self, query: &[(&str, &str)]) -> Url {
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
    pub(super) async fn send(
        &self,
        start: Url,
        build: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, ArtifactsError> {
        let mut url = start;
        for _ in 0..MOST_HOPS {
            let mut request = build(&self.client(&url)?, url.clone());
            if self.is_ours(&url) {
                request = request.header("JOB-TOKEN", self.target.token.expose());
            }
            let response = self.answer(request, &url).await?;
            if !response.status().is_redirection() {
                return accepted(response).await;
            }
            url = next_hop(&url, response.headers())?;
        }
        Err(ArtifactsError::Redirect { problem: format!("more than {MOST_HOPS} of them") })
    }

    async fn answer(&self, request: RequestBuilder, url: &Url) -> Result<Response, ArtifactsError> {
        let request = request.timeout(self.target.timeout);
        request.send().await.map_err(|source| no_answer(url, source))
    }

    /// Same host and port; from http to https at one host is an upgrade, the other way is not.
    fn is_ours(&self, url: &Url) -> bool {
        let same_host = url.host_str() == self.url.host_str();
        let same_port = url.port_or_known_default() == self.url.port_or_known_default();
        let upgrade =
            self.url.scheme() == "http" && url.scheme() == "https" && url.port().is_none();
        same_host && ((same_port && url.scheme() == self.url.scheme()) || upgrade)
    }

    /// A client for one hop. Roots are read for https alone: plain http must work in an image without any.
    fn client(&self, url: &Url) -> Result<Client, ArtifactsError> {
        // Somebody may have chosen the provider before; then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT);
        if let Some(silence) = self.silence {
            builder = builder.read_timeout(silence);
        }
        if url.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        } else {
            builder = builder.tls_certs_merge(self.roots()?);
            if self.is_ours(url)
                && let Some((certificate, key)) = &self.target.identity
            {
                builder = builder.identity(identity(certificate, key)?);
            }
        }
        builder.build().map_err(|error| setup(format!("TLS: {}", chain(&error))))
    }

    fn roots(&self) -> Result<Vec<Certificate>, ArtifactsError> {
        let Some(path) = &self.target.ca_file else {
            return Ok(Vec::new());
        };
        let pem = read(path)?;
        Certificate::from_pem_bundle(&pem)
            .map_err(|error| setup(format!("{path}: {}", chain(&error))))
    }
}

fn identity(certificate: &str, key: &str) -> Result<Identity, ArtifactsError> {
    let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
    Identity::from_pem(&pem).map_err(|error| setup(format!("{certificate}: {}", chain(&error))))
}

fn read(path: &str) -> Result<Vec<u8>, ArtifactsError> {
    let path = PathBuf::from(path);
    std::fs::read(&path).map_err(|source| ArtifactsError::File { verb: "read", path, source })
}

fn next_hop(url: &Url, headers: &HeaderMap) -> Result<Url, ArtifactsError> {
    let redirect = |problem: &str| ArtifactsError::Redirect { problem: problem.into() };
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| redirect("it has no Location"))?;
    let next = url.join(location).map_err(|_| redirect("its Location is no address"))?;
    match (url.scheme(), next.scheme()) {
        ("http", "http" | "https") | ("https", "https") => Ok(next),
        _ => Err(redirect("it leaves https")),
    }
}

/// An answer that is not a success becomes an error with what the server says and what helps.
async fn accepted(response: Response) -> Result<Response, ArtifactsError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let detail = detail(response).await;
    Err(ArtifactsError::Status { status, detail, hint: hint(status), retry_after })
}

/// The first of what the server says, on one line.
async fn detail(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= SHOWN {
            bytes.truncate(SHOWN);
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
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

/// An error of the transport, without its URL: behind a redirect that is a signed one.
pub(super) fn no_answer(url: &Url, source: reqwest::Error) -> ArtifactsError {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let host = format!("{}{port}", url.host_str().unwrap_or_default());
    ArtifactsError::NoAnswer { host, source: source.without_url() }
}

fn setup(problem: String) -> ArtifactsError {
    ArtifactsError::Setup { problem }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
