//! The two ends of a token: the login that gives it, and its revocation.

use std::fs::File;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::token::requests::RevokeTokenSelfRequest;

use super::super::breaker::Breaker;
use super::super::failure::Failure;
use super::super::message::{self, Step};
use super::super::retry::{self, Repeating};
use super::super::secret_id::{self, Credentials};
use super::super::{SecretId, VaultError};
use super::token::{Given, Token, header_safe};
use super::{Failed, Session, random};
use crate::secrets::Secret;

const REVOKE_TRIES: u32 = 3;
const REVOKE_TIMEOUT: Duration = Duration::from_secs(5);

impl<'a> Session<'a> {
    /// Logs in with the settings' credentials; from here on every request carries the token.
    pub(in crate::secrets::vault) async fn login(&mut self) -> Result<Token, VaultError> {
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
        self.hide(&credentials);
        match self.try_login(&credentials).await {
            Ok(given) => {
                breaker.reset();
                Ok(self.hold(given, credentials))
            }
            Err(failed) => {
                let is_refused = matches!(failed.failure, Failure::Status { code: 400, .. })
                    && !failed.failure.says(message::ROOT);
                let remark = is_refused.then(|| breaker.trip(&credentials, random())).flatten();
                let remark = remark.map(|remark| format!("; {remark}")).unwrap_or_default();
                Err(self.login_error(&failed).with_remark(&remark))
            }
        }
    }

    /// Logs in with another secret id; the breaker neither hinders nor learns.
    pub(in crate::secrets::vault) async fn login_with(
        &mut self,
        secret_id: &Secret,
    ) -> Result<Token, VaultError> {
        let role_id = secret_id::role_id(&self.settings.approle)?;
        let credentials = Credentials { role_id, secret_id: secret_id.clone() };
        self.hide(&credentials);
        let given = self.try_login(&credentials).await;
        let given = given.map_err(|failed| self.login_error(&failed))?;
        Ok(self.hold(given, credentials))
    }

    /// The right to be the one that logs in.
    pub(in crate::secrets::vault) async fn turn(&self) -> Option<File> {
        self.breaker().turn(self.deadline).await
    }

    fn breaker(&self) -> Breaker<'a> {
        Breaker::new(self.settings, format!("auth/{}/login of {}", self.mount, self.at))
    }

    async fn try_login(&self, credentials: &Credentials) -> Result<Given, Failed> {
        self.persist(Repeating::Costs, || async {
            let login = LoginWithApproleRequest {
                mount: self.mount.clone(),
                role_id: text(&credentials.role_id)?,
                secret_id: text(&credentials.secret_id)?,
            };
            Given::from(&self.transport.send(login).await?.value)
        })
        .await
    }

    fn hide(&mut self, credentials: &Credentials) {
        self.hidden.extend([credentials.role_id.clone(), credentials.secret_id.clone()]);
    }

    fn hold(&mut self, given: Given, credentials: Credentials) -> Token {
        self.carry(given.token.clone());
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
    pub(in crate::secrets::vault) fn resume(
        &mut self,
        (accessor, value): (&str, &Secret),
        lives: u64,
    ) -> Result<Token, Failure> {
        self.carry(header_safe(text(value)?)?);
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

    /// Ends the token. The warning, if any, names it by its accessor.
    pub(in crate::secrets::vault) async fn revoke(&self, token: &Token) -> Option<String> {
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
                    self.words(&failure),
                    token.lives,
                    token.accessor
                ));
            }
            sleep(self.pause(tries).min(REVOKE_TIMEOUT)).await;
            tries += 1;
        }
    }
}

fn text(secret: &Secret) -> Result<String, Failure> {
    let unfit = Failure::Malformed { words: "the role_id or secret_id is not text" };
    String::from_utf8(secret.expose().to_vec()).map_err(|_| unfit)
}
