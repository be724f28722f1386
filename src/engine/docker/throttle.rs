//! Asks a registry itself for the one thing that a daemon does not pass on: how long to wait. It carries no
//! credentials, and where it learns nothing the caller has a wait of its own.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode, redirect};

use crate::engine::registry;

/// For the whole question: a registry that is busy is not pressed.
const PATIENCE: Duration = Duration::from_secs(3);

/// `Retry-After` in seconds in the answer to a `HEAD` of the image's manifest, which no registry counts as
/// a pull. A date in its place is not read: registries send seconds.
pub(super) async fn retry_after(reference: &str) -> Option<Duration> {
    let url = registry::manifest_url(reference)?;
    // The first client of a process installs it; it is there already for the second.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none());
    // A host without any authorities would fail here, though plain HTTP needs none.
    let builder = if url.starts_with("http:") { builder.tls_certs_only([]) } else { builder };
    let answer = builder.build().ok()?.head(url).send().await.ok()?;
    let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let throttled = answer.status() == StatusCode::TOO_MANY_REQUESTS;
    wait.filter(|_| throttled)?.trim().parse().ok().map(Duration::from_secs)
}
