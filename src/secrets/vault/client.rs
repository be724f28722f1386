//! One session with the server: our own HTTP client inside vaultrs's, login, requests that are tried
//! again within the deadline, and the end of the token. Knows nothing of what secrets look like.

use std::future::Future;
use std::time::Duration;

use rustify::endpoint::Endpoint;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use vaultrs::api::{AuthInfo, EndpointMiddleware};
use vaultrs::client::{Client as _, VaultClient, VaultClientSettings};

use super::breaker::Breaker;
use super::failure::Failure;
use super::message::{self, Step};
use super::request::{Get, Post};
use super::retry::{self, Repeating};
use super::{RoleId, VaultError, VaultSettings, address, credential, http};
use crate::secrets::Secret;

const REVOKE_TRIES: u32 = 3;
const REVOKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a host logs in with.
pub(super) struct Credentials {
    pub(super) role_id: Secret,
    pub(super) secret_id: Secret,
}

impl Credentials {
    /// Reads them from where the settings say.
    pub(super) fn read(settings: &VaultSettings) -> Result<Self, VaultError> {
        let role_id = match &settings.approle.role_id {
            RoleId::Value(value) => value.clone(),
            RoleId::File(path) => credential::read("vault.approle.role_id_file", path)?,
        };
        let file = &settings.approle.secret_id_file;
        Ok(Self { role_id, secret_id: credential::read("vault.approle.secret_id_file", file)? })
    }
}

/// A token of ours.
pub(super) struct Token {
    pub(super) value: Secret,
    /// Names the token without being one.
    pub(super) accessor: String,
    /// Seconds it was given to live.
    pub(super) lives: u64,
    /// Whether it can be made to live longer.
    pub(super) renewable: bool,
    /// Batch tokens cannot be revoked.
    pub(super) is_batch: bool,
}

/// A session: before login it has no token.
pub(super) struct Session<'a> {
    settings: &'a VaultSettings,
    client: VaultClient,
    /// Address and namespace, for messages.
    at: String,
    mount: String,
    deadline: Instant,
}

impl<'a> Session<'a> {
    /// Checks settings. Nothing is sent yet.
    pub(super) fn open(settings: &'a VaultSettings, deadline: Instant) -> Result<Self, VaultError> {
        let url = address::parse(settings)?;
        let namespace = address::namespace(settings)?;
        let mount = address::mount(settings)?;
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
        Ok(Self { settings, client, at, mount, deadline })
    }

    /// Goes on with a token of an earlier session.
    pub(super) fn resume(&mut self, token: &Secret) -> Result<(), Failure> {
        let token = text(token)?;
        if !is_header_safe(token) {
            return Err(Failure::Malformed { words: "the kept token is none" });
        }
        self.client.set_token(token);
        Ok(())
    }

    /// Address and namespace, for messages.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Logs in; from here on every request carries the token.
    pub(super) async fn login(&mut self, with: &Credentials) -> Result<Token, VaultError> {
        let path = format!("auth/{}/login", self.mount);
        let breaker = Breaker::new(self.settings, format!("{path} of {}", self.at));
        breaker.check()?;
        let send = || async {
            let (role_id, secret_id) = (text(&with.role_id)?, text(&with.secret_id)?);
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
            renewable: auth.renewable,
            value: Secret::new(auth.client_token),
        })
    }

    /// Reads an API path, and gives the whole answer.
    pub(super) async fn get(&self, path: &str, query: Option<String>) -> Result<Value, Failed> {
        self.persist(Repeating::Harmless, || async {
            let get = Get { path: path.to_owned(), query: query.clone() };
            self.send(get).await
        })
        .await
    }

    /// Writes to an API path, and gives the whole answer.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        self.persist(Repeating::Harmless, || async {
            self.send(Post { path: path.to_owned(), body: body.clone() }).await
        })
        .await
    }

    async fn send(&self, request: impl Endpoint) -> Result<Value, Failure> {
        let request = request.with_middleware(self.client.middle());
        let answer = request.exec(self.client.http()).await?;
        let malformed = Failure::Malformed { words: "the answer is not JSON" };
        serde_json::from_slice(answer.response.body()).map_err(|_| malformed)
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

fn text(secret: &Secret) -> Result<&str, Failure> {
    let unfit = Failure::Malformed { words: "the role_id or secret_id is not text" };
    std::str::from_utf8(secret.expose()).map_err(|_| unfit)
}

/// vaultrs panics when a token cannot stand in a header.
fn header_safe(auth: AuthInfo) -> Result<AuthInfo, Failure> {
    let unfit = Failure::Malformed { words: "the answer holds a token that is none" };
    is_header_safe(&auth.client_token).then_some(auth).ok_or(unfit)
}

fn is_header_safe(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
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
