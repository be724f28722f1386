//! Volumes that an image asks for by itself (`VOLUME`): the daemon makes new ones with each of its containers, and
//! nobody names them in the request. An image that asks for more than a job may have is refused; it changes nothing.

use serde_json::Value;

use super::outgoing::{OutBody, Outgoing};
use super::refusal::Refusal;
use super::session::Broker;

/// Looks at the image of a container that is to be created.
///
/// # Errors
/// Its volumes are too many.
pub(super) async fn check(broker: &Broker, create: &Outgoing) -> Result<(), Refusal> {
    let OutBody::Json(body) = &create.body else { return Ok(()) };
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let image = body.get("Image").and_then(Value::as_str).unwrap_or_default();
    // One that is not here is the daemon's to refuse.
    let told = broker.daemon.look(&format!("/images/{image}/json"), &[]).await.unwrap_or_default();
    let volumes = told.pointer("/Config/Volumes").and_then(Value::as_object);
    let most = broker.judged(|(_, rules)| rules.quota.volumes);
    if volumes.is_some_and(|volumes| volumes.len() > most) {
        let message = format!(
            "the image declares more volumes (VOLUME) than a job may have: {most} (max_volumes in [broker])"
        );
        return Err(Refusal::quota("quota", message));
    }
    Ok(())
}
