//! One session with the server: our own HTTP client inside vaultrs's, login, requests that are tried
//! again within the deadline, and the end of the token. Knows nothing of what secrets look like.

use std::future::Future;
use std::time::Duration;

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use vaultrs::api::{AuthInfo, EndpointMiddleware};
use vaultrs::client::{Client as _, VaultClient, VaultClientSettings};

use super::breaker::Breaker;
use super::failure::Failure;
use super::message::{self, Step};
use super::retry::{self, Repeating};
use super::{RoleId, VaultError, VaultSettings, address, credential, http};
use crate::secrets::Secret;

const REVOKE_TRIES: u32 = 3;
const REVOKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A token of ours.
pub(super) struct Token {
    pub(super) value: Secret,
    /// Names the token without being one.
    accessor: String,
    /// Seconds it was given to live.
    lives: u64,
    /// Batch tokens cannot be revoked.
    is_batch: bool,
}

/// A session: before login it has no token.
pub(super) struct Session<'a> {
    settings: &'a VaultSettings,
    client: VaultClient,
    /// Address and namespace, for messages.
    at: String,
    mount: String,
    role_id: Secret,
    secret_id: Secret,
    deadline: Instant,
}

impl<'a> Session<'a> {
    /// Checks settings and credentials. Nothing is sent yet.
    pub(super) fn open(settings: &'a VaultSettings, deadline: Instant) -> Result<Self, VaultError> {
        let url = address::parse(settings)?;
        let namespace = address::namespace(settings)?;
        let mount = address::mount(settings)?;
        let role_id = match &settings.approle.role_id {
            RoleId::Value(value) => value.clone(),
            RoleId::File(path) => credential::read("vault.approle.role_id_file", path)?,
        };
        let secret_id =
            credential::read("vault.approle.secret_id_file", &settings.approle.secret_id_file)?;
        let server = url.as_str().trim_end_matches('/');
        let at = match &namespace {
            Some(namespace) => format!("{server}, namespace {namespace:?}"),
            None => server.to_owned(),
        };
        let http = rustify::clients::reqwest::Client::new(
            url.as_str(),
            http::client(settings, url.scheme())?,
        );
        let client = VaultClient {
            http,
            middle: EndpointMiddleware {
                token: String::new(),
                version: "v1".to_owned(),
                wrap: None,
                namespace: namespace.clone(),
            },
            // Spelt out, as the builder fills gaps from VAULT_TOKEN, VAULT_SKIP_VERIFY and the like.
            settings: VaultClientSettings {
                address: url,
                ca_certs: Vec::new(),
                identity: None,
                timeout: None,
                token: String::new(),
                verify: true,
                version: 1,
                wrapping: false,
                namespace,
                proxy: None,
            },
        };
        Ok(Self { settings, client, at, mount, role_id, secret_id, deadline })
    }

    /// Role id and secret id.
    pub(super) fn credentials(&self) -> (&Secret, &Secret) {
        (&self.role_id, &self.secret_id)
    }

    /// Address and namespace, for messages.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Logs in; from here on every request carries the token.
    pub(super) async fn login(&mut self) -> Result<Token, VaultError> {
        let path = format!("auth/{}/login", self.mount);
        let breaker = Breaker::new(self.settings, format!("{path} of {}", self.at));
        breaker.check()?;
        let send = || async {
            let (role_id, secret_id) = (text(&self.role_id)?, text(&self.secret_id)?);
            let login =
                vaultrs::auth::approle::login(&self.client, &self.mount, role_id, secret_id);
            header_safe(login.await?)
        };
        let auth = match self.persist(Repeating::Costs, send).await {
            Ok(auth) => auth,
            Err(failed) => {
                let is_refused = matches!(failed.failure, Failure::Status { code: 400, .. });
                let remark = if is_refused { breaker.trip() } else { None };
                let remark = remark.map(|remark| format!("; {remark}")).unwrap_or_default();
                return Err(self.error(&Step::Login(path), &failed).with_remark(&remark));
            }
        };
        breaker.reset();
        self.client.set_token(&auth.client_token);
        Ok(Token {
            is_batch: auth.token_type == "batch",
            accessor: auth.accessor,
            lives: auth.lease_duration,
            value: Secret::new(auth.client_token),
        })
    }

    /// Reads an API path, and gives the whole answer.
    pub(super) async fn get(&self, path: &str, query: Option<String>) -> Result<Value, Failed> {
        self.persist(Repeating::Harmless, || async {
            let get = Get { path: path.to_owned(), query: query.clone() };
            let answer = get.with_middleware(self.client.middle()).exec(self.client.http()).await?;
            let malformed = Failure::Malformed { words: "the answer is not JSON" };
            serde_json::from_slice(answer.response.body()).map_err(|_| malformed)
        })
        .await
    }

    /// Ends the token. The warning, if any, names it by its accessor.
    pub(super) async fn revoke(&self, token: &Token) -> Option<String> {
        if token.is_batch {
            return Some(format!(
                "Vault gave a batch token, which cannot be revoked; it ends in {} s (set token_type=service on the role)",
                token.lives
            ));
        }
        let mut tries = 1;
        loop {
            let revoked = timeout(REVOKE_TIMEOUT, vaultrs::token::revoke_self(&self.client)).await;
            let failure = match revoked {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => Failure::from(error),
                Err(_) => Failure::Timeout,
            };
            if tries >= REVOKE_TRIES || !retry::again(&failure, Repeating::Harmless, tries) {
                return Some(format!(
                    "the Vault token with accessor {} could not be revoked at {}: {}; it ends in {} s, or now by: \
                     vault token revoke -accessor {}",
                    token.accessor,
                    self.at,
                    failure.words(),
                    token.lives,
                    token.accessor
                ));
            }
            sleep(retry::pause(tries, random())).await;
            tries += 1;
        }
    }

    /// The error for a request that failed for good.
    pub(super) fn error(&self, step: &Step, failed: &Failed) -> VaultError {
        let mut hint = message::hint(step, &failed.failure, self.settings);
        if failed.out_of_time {
            hint = format!("vault.deadline ({:?}) is over; {hint}", self.settings.deadline);
        }
        VaultError::Request {
            doing: step.doing(),
            at: self.at.clone(),
            words: failed.failure.words(),
            tries: failed.tries,
            hint,
        }
    }

    /// Sends until it is answered, refused for good, or the deadline is over.
    async fn persist<T, F>(&self, repeating: Repeating, send: impl Fn() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut tries = 1;
        let mut before = Failure::Timeout;
        loop {
            let failure = match timeout_at(self.deadline, send()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => {
                    return Err(Failed { failure: before, tries, out_of_time: true });
                }
            };
            if !retry::again(&failure, repeating, tries) {
                return Err(Failed { failure, tries, out_of_time: false });
            }
            let pause = retry::pause(tries, random());
            if Instant::now() + pause >= self.deadline {
                return Err(Failed { failure, tries, out_of_time: true });
            }
            sleep(pause).await;
            before = failure;
            tries += 1;
        }
    }
}

/// A request that will not be tried again.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    tries: u32,
    out_of_time: bool,
}

impl Failed {
    /// An answer that says something else than it should.
    pub(super) fn malformed(words: &'static str) -> Self {
        Self { failure: Failure::Malformed { words }, tries: 1, out_of_time: false }
    }
}

/// A read of any path. vaultrs's own reads drop the envelope, and quote values in errors.
struct Get {
    path: String,
    query: Option<String>,
}

impl Endpoint for Get {
    type Response = Value;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }

    fn query(&self) -> Result<Option<String>, rustify::errors::ClientError> {
        Ok(self.query.clone())
    }
}

fn text(secret: &Secret) -> Result<&str, Failure> {
    let unfit = Failure::Malformed { words: "the role_id or secret_id is not text" };
    std::str::from_utf8(secret.expose()).map_err(|_| unfit)
}

/// vaultrs panics when a token cannot stand in a header.
fn header_safe(auth: AuthInfo) -> Result<AuthInfo, Failure> {
    let fits = !auth.client_token.is_empty()
        && auth.client_token.bytes().all(|byte| byte.is_ascii_graphic());
    let unfit = Failure::Malformed { words: "the answer holds a token that is none" };
    fits.then_some(auth).ok_or(unfit)
}

/// Any number; no secret depends on it.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are the longest, and nothing worse.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(4) => u32::from_le_bytes(bytes),
        _ => u32::MAX,
    }
}
