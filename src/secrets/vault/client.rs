//! One session with the server: our own HTTP client inside vaultrs's, and requests that are tried again
//! within the deadline. Knows nothing of what secrets look like.

use std::future::Future;
use std::time::Duration;

use rustify::endpoint::Endpoint;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

mod login;
mod token;

use super::failure::Failure;
use super::message::{self, Step};
use super::retry::{self, Repeating};
use super::transport::{Answer, Ask, Transport};
use super::{VaultError, VaultSettings, address, http};
use crate::secrets::{MaskSet, Secret};
pub(super) use token::Token;

/// A session: before login it has no token.
pub(super) struct Session<'a> {
    settings: &'a VaultSettings,
    transport: Transport,
    /// Address and namespace, for messages.
    at: String,
    mount: String,
    deadline: Instant,
    /// What it has sent: a proxy's error page, or a log that is quoted, might show it again.
    hidden: Vec<Secret>,
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
        Ok(Self { settings, transport, at, mount, deadline, hidden: Vec::new() })
    }

    /// Address and namespace, for messages.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Sends this token with what follows, or none if it is empty. It must fit into a header.
    pub(super) fn carry(&mut self, token: String) {
        self.hidden.push(Secret::new(token.as_str()));
        self.transport.set_token(token);
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
        Ok(self.answer(repeating, endpoint).await?.value)
    }

    /// The same, with the text of the answer.
    pub(super) async fn answer<E: Endpoint>(
        &self,
        repeating: Repeating,
        endpoint: impl Fn() -> E,
    ) -> Result<Answer, Failed> {
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
            words: self.words(&failed.failure),
            tries: failed.tries,
            hint,
        }
    }

    /// What happened, without anything that this session has sent.
    pub(super) fn words(&self, failure: &Failure) -> String {
        let words = failure.words();
        let masked = MaskSet::new(self.hidden.clone()).mask(words.as_bytes());
        String::from_utf8_lossy(&masked).into_owned()
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

/// Any number; no secret depends on it.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are the longest, and nothing worse.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(4) => u32::from_le_bytes(bytes),
        _ => u32::MAX,
    }
}
