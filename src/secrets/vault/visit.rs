//! What a person asks of the server by hand: its state, what the login gives, what its policy allows.
//! A visit logs in at most once and ends its token; what follows from the answers is told elsewhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

mod facts;

use super::client::{Failed, Session, Token};
use super::failure::Failure;
use super::message::Step;
use super::{VaultError, VaultSettings, read};
use crate::secrets::Secret;
use facts::text;
pub(super) use facts::texts;
pub use facts::{Layout, LoginFacts, SecretIdFacts, ServerState};

/// One visit. [`Visit::leave`] has to be called at its end, else the token stays until its time is over.
pub struct Visit<'a> {
    session: Session<'a>,
    mount: String,
    token: Option<Token>,
}

impl<'a> Visit<'a> {
    /// Checks the settings. Nothing is sent yet. `limit` is for all of the visit but its end.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(settings: &'a VaultSettings, limit: Duration) -> Result<Self, VaultError> {
        let session = Session::connect(settings, Instant::now() + limit)?;
        Ok(Self { session, mount: super::address::mount(settings)?, token: None })
    }

    /// Address and namespace, for messages.
    pub fn at(&self) -> &str {
        self.session.at()
    }

    pub(super) fn role_path(&self, role: &str) -> String {
        format!("auth/{}/role/{role}", self.mount)
    }

    /// Asks for the seal, which needs no login.
    ///
    /// # Errors
    /// No answer, or none of a Vault.
    pub async fn state(&self) -> Result<ServerState, VaultError> {
        const PATH: &str = "sys/seal-status";
        let answer = self.session.get(PATH, None).await;
        let answer = answer.and_then(|answer| match answer["sealed"].as_bool() {
            Some(_) => Ok(answer),
            None => Err(Failed::malformed("the answer says nothing of a seal")),
        });
        let answer = answer.map_err(|failed| self.failed("ask", PATH, &failed))?;
        Ok(ServerState {
            version: text(&answer["version"]),
            initialized: answer["initialized"].as_bool().unwrap_or(true),
            sealed: answer["sealed"].as_bool().unwrap_or_default(),
            clock_unix: self.session.server_clock(),
        })
    }

    /// Logs in with the settings' credentials.
    ///
    /// # Errors
    /// As a job's login.
    pub async fn login(&mut self) -> Result<LoginFacts, VaultError> {
        let token = self.session.login().await?;
        let facts = token.facts();
        self.token = Some(token);
        Ok(facts)
    }

    /// Logs in with another secret id than the settings'. A refusal is not remembered.
    ///
    /// # Errors
    /// As a job's login.
    pub async fn login_with(&mut self, secret_id: &Secret) -> Result<LoginFacts, VaultError> {
        let token = self.session.login_with(secret_id).await?;
        let facts = token.facts();
        self.token = Some(token);
        Ok(facts)
    }

    /// Waits until no job of this host is between reading its secret id and its login, and keeps it so
    /// until the file is dropped. `None` where the settings name no place for that, or time is over.
    pub async fn turn(&self) -> Option<File> {
        self.session.turn().await
    }

    /// Looks up the secret id that the visit logged in with; `None` where the policy does not let it, or
    /// the server knows it no more.
    ///
    /// # Errors
    /// Any other failure.
    pub async fn secret_id(&self, role: &str) -> Result<Option<SecretIdFacts>, VaultError> {
        let path = format!("{}/secret-id/lookup", self.role_path(role));
        let Some(secret_id) = self.used() else {
            return Ok(None);
        };
        let secret_id = String::from_utf8_lossy(secret_id.expose());
        let answer = self.session.post(&path, &json!({ "secret_id": secret_id })).await;
        let answer = self.unless_forbidden("look the secret_id up by", &path, answer)?;
        Ok(answer
            .filter(|answer| answer["data"].is_object())
            .map(|answer| SecretIdFacts::read(&answer["data"])))
    }

    /// What the token may do at each path; `None` where the policy does not even let it ask.
    ///
    /// # Errors
    /// Any other failure.
    pub async fn capabilities(
        &self,
        paths: &[String],
    ) -> Result<Option<BTreeMap<String, Vec<String>>>, VaultError> {
        const PATH: &str = "sys/capabilities-self";
        let answer = self.session.post(PATH, &json!({ "paths": paths })).await;
        let answer = self.unless_forbidden("ask", PATH, answer)?;
        Ok(answer.map(|answer| {
            let list = |path: &String| (path.clone(), texts(&answer["data"][path.as_str()]));
            paths.iter().map(list).collect()
        }))
    }

    /// The engine of a path; `None` where there is none, or the policy grants nothing there.
    ///
    /// # Errors
    /// Any other failure.
    pub async fn layout(&self, path: &str) -> Result<Option<Layout>, VaultError> {
        let found = read::engine(&self.session, path).await;
        let found = self.unless_forbidden("find the engine of", path, found)?;
        Ok(found.map(|engine| Layout { mount: engine.mount, kv: engine.kv }))
    }

    /// Ends the token, if there is one. The warning, if any, names it by its accessor.
    pub async fn leave(self) -> Option<String> {
        match &self.token {
            Some(token) => self.session.revoke(token).await,
            None => None,
        }
    }

    fn unless_forbidden<T>(
        &self,
        doing: &'static str,
        path: &str,
        answer: Result<T, Failed>,
    ) -> Result<Option<T>, VaultError> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(failed) if matches!(failed.failure, Failure::Status { code: 403 | 404, .. }) => {
                Ok(None)
            }
            Err(failed) => Err(self.failed(doing, path, &failed)),
        }
    }

    pub(super) fn session(&self) -> &Session<'a> {
        &self.session
    }

    pub(super) fn session_mut(&mut self) -> &mut Session<'a> {
        &mut self.session
    }

    pub(super) fn mount(&self) -> &str {
        &self.mount
    }

    /// The secret id that the visit logged in with.
    pub(super) fn used(&self) -> Option<&Secret> {
        self.token.as_ref().and_then(Token::secret_id)
    }

    pub(super) fn failed(&self, doing: &'static str, path: &str, failed: &Failed) -> VaultError {
        self.session.error(&Step::Ask { doing, path: path.to_owned() }, failed)
    }
}
