//! The job's logins, put into its requests by the broker: the job itself holds none. Passwords from Vault are
//! fetched when the first request needs one, and once for the stage.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hyper::header::HeaderValue;
use serde_json::json;
use tokio::sync::Mutex;

use crate::broker::session::{Login, LoginFinder};
use crate::engine::RegistryLogin;
use crate::job::JobContext;
use crate::joblog::masks::Masks;
use crate::plan::ImageSource;
use crate::plan::login::VaultLogin;
use crate::secrets::{Fetched, FetchedSecret, Secret, SecretSource};
use crate::settings::Settings;
use crate::stage::call::Call;
use crate::stage::credentials::Credentials;
use crate::stage::{masking, vault};
use crate::world::World;

/// Who knows the logins of a stage.
struct Logins {
    world: World,
    context: JobContext,
    settings: Settings,
    masks: Arc<Masks>,
    /// Passwords that Vault has given, by the names of their references.
    passwords: Mutex<BTreeMap<String, Secret>>,
}

/// Finds the login for an image as for the job's own image: the job's `DOCKER_AUTH_CONFIG`, the operator's
/// file and helpers, the operator's password in Vault, the credentials that GitLab sent.
pub(super) fn finder(call: &Call<'_>) -> LoginFinder {
    let logins = Arc::new(Logins {
        world: call.world.clone(),
        context: call.context.clone(),
        settings: call.settings.clone(),
        masks: Arc::clone(&call.masks),
        passwords: Mutex::default(),
    });
    Arc::new(move |image: String| {
        let logins = Arc::clone(&logins);
        Box::pin(async move {
            // To its end though the client goes away: a fetch that is cut off leaves its token behind.
            let found = tokio::spawn(async move { logins.find(image).await }).await;
            found.unwrap_or_else(|_| Err("the login for this registry cannot be had".to_owned()))
        })
    })
}

impl Logins {
    async fn find(&self, image: String) -> Result<Login, String> {
        let source = ImageSource::of(image, &self.context, &self.settings);
        let fetched = match &source.login.vault {
            // What the job brought itself comes first.
            Some(login) if source.login.auth_config.is_none() => self.of_vault(login).await?,
            _ => Fetched::default(),
        };
        let found = Credentials::new(&self.world, fetched).login(&source).await;
        let header = found.login.as_ref().map(|login| header(login, &source.reference));
        Ok(Login { header: header.transpose()?, warnings: found.warnings })
    }

    async fn of_vault(&self, login: &VaultLogin) -> Result<Fetched, String> {
        let name = &login.password.name;
        let mut known = self.passwords.lock().await;
        if !known.contains_key(name) {
            let source = vault::source(&self.settings, &self.world);
            let fetched = source.fetch(std::slice::from_ref(&login.password)).await;
            let fetched = fetched.map_err(|error| {
                format!("the password of {} cannot be had: {error}", login.registry)
            })?;
            self.masks.add(masking::values(&fetched));
            known.extend(fetched.secrets.into_iter().map(|one| (one.name, one.value)));
        }
        let value = known.get(name).cloned();
        let one = value.map(|value| FetchedSecret { name: name.clone(), value });
        Ok(Fetched { secrets: one.into_iter().collect(), ..Fetched::default() })
    }
}

/// As the daemon reads it: URL-safe, padded.
fn header(login: &RegistryLogin, image: &str) -> Result<HeaderValue, String> {
    let unusable = || format!("the password for {image} is no text, which Docker's logins are");
    let password = std::str::from_utf8(login.password.expose()).map_err(|_| unusable())?;
    let json = json!({
        "username": login.username,
        "password": password,
        "serveraddress": login.registry,
    });
    let value = HeaderValue::from_str(&URL_SAFE.encode(json.to_string()));
    let mut value = value.map_err(|_| unusable())?;
    value.set_sensitive(true);
    Ok(value)
}
