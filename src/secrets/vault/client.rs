//! One session with the server: our own HTTP client inside vaultrs's, login, requests that are tried
//! again within the deadline, and the end of the token. Knows nothing of what secrets look like.

use std::fs::File;
use std::future::Future;
use std::time::Duration;

use rustify::endpoint::Endpoint;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::token::requests::RevokeTokenSelfRequest;

use super::breaker::Breaker;
use super::failure::Failure;
use super::message::{self, Step};
use super::retry::{self, Repeating};
use super::secret_id::{self, Credentials};
use super::transport::{Ask, Transport};
use super::visit::{self, LoginFacts};
use super::{SecretId, VaultError, VaultSettings, address, http};
use crate::secrets::Secret;

const REVOKE_TRIES: u32 = 3;
const REVOKE_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// The names of its policies, where it is fresh.
    policies: Vec<String>,
    /// What it was got with, by us.
    credentials: Option<Credentials>,
}

impl Token {
    /// What may be told of it.
    pub(super) fn facts(&self) -> LoginFacts {
        let token_type = if self.is_batch { "batch" } else { "service" };
        LoginFacts {
            token_type: token_type.to_owned(),
            lives_seconds: self.lives,
            policies: self.policies.clone(),
        }
    }

    /// The secret id that it was got with.
    pub(super) fn secret_id(&self) -> Option<&Secret> {
        self.credentials.as_ref().map(|credentials| &credentials.secret_id)
    }

    /// What must not be seen in any log.
    pub(super) fn mask_too(self) -> Vec<Secret> {
        let used = self.credentials.map(|used| [used.role_id, used.secret_id]);
        used.into_iter().flatten().chain([self.value]).collect()
    }
}

/// A session: before login it has no token.
pub(super) struct Session<'a> {
    settings: &'a VaultSettings,
    transport: Transport,
    /// Address and namespace, for messages.
    at: String,
    mount: String,
    deadline: Instant,
}

impl<'a> Session<'a> {
    /// Checks the settings. Nothing is sent yet, and no credential read.
    pub(super) fn connect(
        settings: &'a VaultSettings,
        deadline: Instant,
    ) -> Result<Self, VaultError> {
        let url = address::parse(settings)?;
        let namespace = address::namespace(settings)?;
        let mount = address::mount(settings)?;
        let server = url.as_str().trim_end_matches('/');
        let at = match &namespace {
            Some(namespace) => format!("{server}, namespace {namespace:?}"),
            None => server.to_owned(),
        };
        let http = http::client(settings, url.scheme())?;
        let transport = Transport::new(url.as_str(), http, namespace);
        Ok(Self { settings, transport, at, mount, deadline })
    }

    /// Address and namespace, for messages.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Logs in with the settings' credentials; from here on every request carries the token.
    pub(super) async fn login(&mut self) -> Result<Token, VaultError> {
        let approle = &self.settings.approle;
        let limit =
            self.settings.timeout.min(self.deadline.saturating_duration_since(Instant::now()));
        // A file is read in our turn, so that `vault rotate` can replace it between two of them; a
        // command may take its time, so it is not.
        let early = match &approle.secret_id {
            SecretId::Command(_) => Some(secret_id::read(approle, limit).await?),
            _ => None,
        };
        let _turn = self.turn().await;
        let breaker = self.breaker();
        let credentials = match early {
            Some(credentials) => credentials,
            None => secret_id::read(approle, limit).await?,
        };
        breaker.check(&credentials)?;
        match self.try_login(&credentials).await {
            Ok(given) => {
                breaker.reset();
                Ok(self.hold(given, credentials))
            }
            Err(failed) => {
                let is_refused = matches!(failed.failure, Failure::Status { code: 400, .. });
                let remark = is_refused.then(|| breaker.trip(&credentials, random())).flatten();
                let remark = remark.map(|remark| format!("; {remark}")).unwrap_or_default();
                Err(self.login_error(&failed).with_remark(&remark))
            }
        }
    }

    /// Logs in with another secret id; the breaker neither hinders nor learns.
    pub(super) async fn login_with(&mut self, secret_id: &Secret) -> Result<Token, VaultError> {
        let role_id = secret_id::role_id(&self.settings.approle)?;
        let credentials = Credentials { role_id, secret_id: secret_id.clone() };
        let given = self.try_login(&credentials).await;
        let given = given.map_err(|failed| self.login_error(&failed))?;
        Ok(self.hold(given, credentials))
    }

    /// The right to be the one that logs in.
    pub(super) async fn turn(&self) -> Option<File> {
        self.breaker().turn(self.deadline).await
    }

    fn breaker(&self) -> Breaker<'a> {
        Breaker::new(self.settings, format!("auth/{}/login of {}", self.mount, self.at))
    }

    /// Sends this token with what follows, or none if it is empty. It must fit into a header.
    pub(super) fn carry(&mut self, token: String) {
        self.transport.set_token(token);
    }

    async fn try_login(&self, credentials: &Credentials) -> Result<Given, Failed> {
        self.persist(Repeating::Costs, || async {
            let login = LoginWithApproleRequest {
                mount: self.mount.clone(),
                role_id: text(&credentials.role_id)?,
                secret_id: text(&credentials.secret_id)?,
            };
            Given::from(&self.transport.send(login).await?)
        })
        .await
    }

    fn hold(&mut self, given: Given, credentials: Credentials) -> Token {
        self.transport.set_token(given.token.clone());
        Token {
            value: Secret::new(given.token),
            accessor: given.accessor,
            lives: given.lives,
            renewable: given.renewable,
            is_batch: given.is_batch,
            policies: given.policies,
            credentials: Some(credentials),
        }
    }

    /// Goes on with a token of an earlier session: its accessor, itself, and the seconds it still lives.
    pub(super) fn resume(
        &mut self,
        (accessor, value): (&str, &Secret),
        lives: u64,
    ) -> Result<Token, Failure> {
        self.transport.set_token(header_safe(text(value)?)?);
        let (accessor, value) = (accessor.to_owned(), value.clone());
        Ok(Token {
            value,
            accessor,
            lives,
            renewable: false,
            is_batch: false,
            policies: Vec::new(),
            credentials: None,
        })
    }

    fn login_error(&self, failed: &Failed) -> VaultError {
        self.error(&Step::Login(format!("auth/{}/login", self.mount)), failed)
    }

    /// Reads an API path, and gives the whole answer.
    pub(super) async fn get(&self, path: &str, query: Option<String>) -> Result<Value, Failed> {
        self.ask(Repeating::Harmless, || Ask::get(path, query.clone())).await
    }

    /// Sends a request until it is answered.
    pub(super) async fn ask<E: Endpoint>(
        &self,
        repeating: Repeating,
        endpoint: impl Fn() -> E,
    ) -> Result<Value, Failed> {
        self.persist(repeating, || self.transport.send(endpoint())).await
    }

    /// Writes to an API path, and gives the whole answer.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        self.ask(Repeating::Harmless, || Ask::post(path, body.clone())).await
    }

    /// The clock of the server in Unix seconds, by its last answer.
    pub(super) fn server_clock(&self) -> Option<u64> {
        self.transport.server_clock()
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
            let revoke = self.transport.send(RevokeTokenSelfRequest {});
            let failure = match timeout(REVOKE_TIMEOUT, revoke).await {
                Ok(Ok(_)) => return None,
                Ok(Err(failure)) => failure,
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
            sleep(self.pause(tries).min(REVOKE_TIMEOUT)).await;
            tries += 1;
        }
    }

    /// The error for a request that failed for good.
    pub(super) fn error(&self, step: &Step, failed: &Failed) -> VaultError {
        let mut hint = message::hint(step, &failed.failure, self.settings);
        if failed.out_of_time {
            hint = format!(
                "its time of {:?} is over (vault.deadline at most); {hint}",
                self.settings.deadline
            );
        }
        VaultError::Request {
            doing: step.doing(),
            at: self.at.clone(),
            status: match failed.failure {
                Failure::Status { code, .. } => Some(code),
                _ => None,
            },
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
            let pause = self.pause(tries);
            if Instant::now() + pause >= self.deadline {
                return Err(Failed { failure, tries, out_of_time: true });
            }
            sleep(pause).await;
            before = failure;
            tries += 1;
        }
    }

    /// Our own pause, or a longer one that the server asked for.
    fn pause(&self, tries: u32) -> Duration {
        retry::pause(tries, random()).max(self.transport.retry_after().unwrap_or_default())
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

/// What a login gives.
struct Given {
    token: String,
    accessor: String,
    lives: u64,
    renewable: bool,
    is_batch: bool,
    policies: Vec<String>,
}

impl Given {
    /// Field by field: a deserialiser's error would quote the token.
    fn from(answer: &Value) -> Result<Self, Failure> {
        let auth = &answer["auth"];
        let Some(token) = auth["client_token"].as_str() else {
            return Err(Failure::Malformed { words: "the answer is not one that Vault gives" });
        };
        Ok(Self {
            token: header_safe(token.to_owned())?,
            accessor: auth["accessor"].as_str().unwrap_or_default().to_owned(),
            lives: auth["lease_duration"].as_u64().unwrap_or_default(),
            renewable: auth["renewable"].as_bool().unwrap_or_default(),
            is_batch: auth["token_type"] == "batch",
            policies: visit::texts(&auth["policies"]),
        })
    }
}

/// vaultrs panics when a token cannot stand in a header.
fn header_safe(token: String) -> Result<String, Failure> {
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let unfit = Failure::Malformed { words: "the answer holds a token that is none" };
    fits.then_some(token).ok_or(unfit)
}

fn text(secret: &Secret) -> Result<String, Failure> {
    let unfit = Failure::Malformed { words: "the role_id or secret_id is not text" };
    String::from_utf8(secret.expose().to_vec()).map_err(|_| unfit)
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
