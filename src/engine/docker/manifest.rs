//! Asks a registry itself for an image's manifest, by `HEAD`: what a daemon cannot be asked without a pull,
//! or does not pass on. No registry counts it as a pull.

use reqwest::header::ACCEPT;

use crate::engine::registry::http::{KINDS, Refused, Session};
use crate::engine::{RegistryLogin, registry};

/// Whether the registry gives this image's manifest to who has this login, or none.
pub(super) async fn head(reference: &str, login: Option<&RegistryLogin>) -> Result<(), Refused> {
    let url = registry::manifest_url(reference)
        .ok_or_else(|| Refused::failed(format!("{reference} names no image")))?;
    let session = Session::new(&url, login)?;
    let answer = session.send(|client| client.head(&url).header(ACCEPT, KINDS)).await?;
    if answer.status().is_success() { Ok(()) } else { Err(Refused::status(&answer)) }
}
