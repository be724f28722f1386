//! What all transfers share: a client with the right roots, deadlines, and what an answer means. It knows
//! neither tokens nor whose server it is.

use super::error::TransferError;
use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Response, StatusCode, Url};
use std::path::PathBuf;
use std::time::Duration;

/// For a connection to come about.
const CONNECT: Duration = Duration::from_secs(30);
/// As much of an answer that nobody wants is read.
const MOST_UNWANTED: usize = 64 * 1024;
/// As much of an error's body as is worth showing.
const SHOWN: usize = 1000;

/// Files that TLS needs beyond the system's roots.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trust<'a> {
    /// PEM file with additional roots.
    pub(super) ca_file: Option<&'a str>,
    /// PEM files of a client certificate and its key.
    pub(super) identity: Option<&'a (String, String)>,
}

/// A client for one address. Roots are read for https alone: plain http must work in an image without any.
///
/// # Errors
/// When a file of `trust` cannot be used.
pub(super) fn client(url: &Url, trust: Trust) -> Result<ClientBuilder, TransferError> {
    // Somebody may have chosen the provider before; then it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT);
    if url.scheme() == "http" {
        return Ok(builder.tls_certs_only([]));
    }
    let builder = builder.tls_certs_merge(trust.ca_file.map_or(Ok(Vec::new()), roots)?);
    match trust.identity {
        Some((certificate, key)) => Ok(builder.identity(identity(certificate, key)?)),
        None => Ok(builder),
    }
}

fn roots(path: &str) -> Result<Vec<Certificate>, TransferError> {
    let pem = read(path)?;
    Certificate::from_pem_bundle(&pem).map_err(|error| setup(format!("{path}: {}", chain(&error))))
}

fn identity(certificate: &str, key: &str) -> Result<Identity, TransferError> {
    let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
    Identity::from_pem(&pem).map_err(|error| setup(format!("{certificate}: {}", chain(&error))))
}

fn read(path: &str) -> Result<Vec<u8>, TransferError> {
    let path = PathBuf::from(path);
    std::fs::read(&path).map_err(|source| TransferError::File { verb: "read", path, source })
}

/// An answer that is not a success becomes an error with what the server says and what helps.
pub(super) async fn accepted(
    who: &'static str,
    response: Response,
    hint: fn(StatusCode) -> &'static str,
) -> Result<Response, TransferError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let detail = detail(response).await;
    Err(TransferError::Status { who, status, detail, hint: hint(status), retry_after })
}

/// Reads an answer whose content does not matter to its end. A connection that is closed over unread bytes is
/// a reset to the other side, which some proxies log as a broken upload.
pub(super) async fn heard_out(mut response: Response) {
    let mut bytes = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes += chunk.len();
        if bytes > MOST_UNWANTED {
            break;
        }
    }
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
    let text = storage_error(&text).unwrap_or(text.into_owned());
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
}

/// What a bucket says, out of its XML; the rest of that may quote the signed address.
fn storage_error(text: &str) -> Option<String> {
    let inner = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once(&format!("</{tag}>"))?.0)
    };
    let code = inner("Code")?;
    Some(inner("Message").map_or(code.to_owned(), |message| format!("{code}, {message}")))
}

/// An error of the transport, without its URL: behind a redirect that is a signed one.
pub(super) fn no_answer(who: &'static str, url: &Url, source: reqwest::Error) -> TransferError {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let host = format!("{}{port}", url.host_str().unwrap_or_default());
    TransferError::NoAnswer { who, host, source: source.without_url() }
}

pub(super) fn setup(problem: String) -> TransferError {
    TransferError::Setup { problem }
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buckets_error_is_its_code_and_message() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message>\
                   <StringToSign>X-Amz-Signature=secret</StringToSign></Error>";
        assert_eq!(storage_error(xml).as_deref(), Some("AccessDenied, Access Denied"));
        assert_eq!(storage_error("{\"message\":\"no\"}"), None);
    }
}
