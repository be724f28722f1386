//! The job's logins, put into its requests by the broker: the job itself holds none.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hyper::header::HeaderValue;
use serde_json::json;

use crate::broker::session::LoginFinder;
use crate::engine::RegistryLogin;
use crate::plan::ImageSource;
use crate::secrets::Fetched;
use crate::stage::call::Call;
use crate::stage::credentials::Credentials;

/// Finds the login for an image as for the job's own image: the job's `DOCKER_AUTH_CONFIG`, the operator's
/// file and helpers, the credentials that GitLab sent.
pub(super) fn finder(call: &Call<'_>) -> LoginFinder {
    let world = Arc::new(call.world.clone());
    let context = Arc::new(call.context.clone());
    let settings = Arc::new(call.settings.clone());
    Arc::new(move |image: String| {
        let (world, context, settings) =
            (Arc::clone(&world), Arc::clone(&context), Arc::clone(&settings));
        Box::pin(async move {
            let source = ImageSource::of(image, &context, &settings);
            let found = Credentials::new(&world, Fetched::default()).login(&source).await;
            header(&found.login?)
        })
    })
}

/// As the daemon reads it: URL-safe, padded.
fn header(login: &RegistryLogin) -> Option<HeaderValue> {
    let password = std::str::from_utf8(login.password.expose()).ok()?;
    let json = json!({
        "username": login.username,
        "password": password,
        "serveraddress": login.registry,
    });
    let mut value = HeaderValue::from_str(&URL_SAFE.encode(json.to_string())).ok()?;
    value.set_sensitive(true);
    Some(value)
}
