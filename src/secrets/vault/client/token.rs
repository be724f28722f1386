//! A token: what a login gives, taken out of the answer, and what may be told of it. Sends nothing.

use serde_json::Value;

use super::super::failure::Failure;
use super::super::secret_id::Credentials;
use super::super::visit::{self, LoginFacts};
use crate::secrets::Secret;

/// A token of ours.
pub(in crate::secrets::vault) struct Token {
    pub(in crate::secrets::vault) value: Secret,
    /// Names the token without being one.
    pub(in crate::secrets::vault) accessor: String,
    /// Seconds it was given to live.
    pub(in crate::secrets::vault) lives: u64,
    /// Whether it can be made to live longer.
    pub(in crate::secrets::vault) renewable: bool,
    /// Batch tokens cannot be revoked.
    pub(in crate::secrets::vault) is_batch: bool,
    /// The names of its policies, where it is fresh.
    pub(super) policies: Vec<String>,
    /// What it was got with, by us.
    pub(super) credentials: Option<Credentials>,
}

impl Token {
    /// What may be told of it.
    pub(in crate::secrets::vault) fn facts(&self) -> LoginFacts {
        let token_type = if self.is_batch { "batch" } else { "service" };
        LoginFacts {
            token_type: token_type.to_owned(),
            lives_seconds: self.lives,
            policies: self.policies.clone(),
        }
    }

    /// The secret id that it was got with.
    pub(in crate::secrets::vault) fn secret_id(&self) -> Option<&Secret> {
        self.credentials.as_ref().map(|credentials| &credentials.secret_id)
    }

    /// What must not be seen in any log.
    pub(in crate::secrets::vault) fn mask_too(self) -> Vec<Secret> {
        let used = self.credentials.map(|used| [used.role_id, used.secret_id]);
        used.into_iter().flatten().chain([self.value]).collect()
    }
}

/// What a login gives.
pub(super) struct Given {
    pub(super) token: String,
    pub(super) accessor: String,
    pub(super) lives: u64,
    pub(super) renewable: bool,
    pub(super) is_batch: bool,
    pub(super) policies: Vec<String>,
}

impl Given {
    /// Field by field: a deserialiser's error would quote the token.
    pub(super) fn from(answer: &Value) -> Result<Self, Failure> {
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
pub(super) fn header_safe(token: String) -> Result<String, Failure> {
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let unfit = Failure::Malformed { words: "the answer holds a token that is none" };
    fits.then_some(token).ok_or(unfit)
}
