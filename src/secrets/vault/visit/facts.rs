//! What a visit learns, as plain facts. Asks for nothing.

use serde::Serialize;
use serde_json::Value;

use crate::plan::KvVersion;

/// The server as it says it is, before any login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerState {
    /// Of the program.
    pub version: String,
    /// Whether it was ever set up.
    pub initialized: bool,
    /// Whether its storage is locked.
    pub sealed: bool,
    /// Its clock, in Unix seconds, as the answer's `Date` has it.
    pub clock_unix: Option<u64>,
}

/// What a login gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoginFacts {
    /// `service` or `batch`.
    pub token_type: String,
    /// How long the token lives.
    pub lives_seconds: u64,
    /// The names of its policies, those of the identity among them.
    pub policies: Vec<String>,
}

/// What the server knows of a secret id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretIdFacts {
    /// Names it without being it.
    pub accessor: String,
    /// RFC 3339.
    pub created: String,
    /// RFC 3339; never where `None`.
    pub expires: Option<String>,
    /// Logins that are left; without limit where `None`.
    pub uses_left: Option<u64>,
    /// Addresses that it is bound to; none means any.
    pub bound_to: Vec<String>,
}

/// An engine that a path belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// With a slash at the end.
    pub mount: String,
    /// How it lays out its paths.
    pub kv: KvVersion,
}

impl Layout {
    /// Whether paths have `data/` in them.
    pub fn is_versioned(&self) -> bool {
        self.kv == KvVersion::V2
    }

    /// Whether it is no KV engine at all.
    pub fn is_other(&self) -> bool {
        self.kv == KvVersion::Raw
    }
}

/// Names of policies that may do everything: Vault's own, that of its hosted form, and the one that its
/// tutorials write.
const ALMIGHTY: [&str; 3] = ["root", "hcp-root", "admin"];

impl LoginFacts {
    /// The policy, if any, that may do everything by its name. What the others allow only the server can
    /// tell, if it is asked.
    pub fn almighty(&self) -> Option<&str> {
        self.policies.iter().map(String::as_str).find(|policy| ALMIGHTY.contains(policy))
    }
}

impl SecretIdFacts {
    /// Out of what a lookup answers.
    pub(super) fn read(answer: &Value) -> Self {
        // Go's zero time stands for never.
        let expires = text(&answer["expiration_time"]);
        let uses = answer["secret_id_num_uses"].as_u64();
        Self {
            accessor: text(&answer["secret_id_accessor"]),
            created: text(&answer["creation_time"]),
            expires: (!expires.is_empty() && !expires.starts_with("0001-")).then_some(expires),
            uses_left: uses.filter(|uses| *uses > 0),
            bound_to: texts(&answer["cidr_list"]),
        }
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The strings of a list; none of what is no list.
pub(in crate::secrets::vault) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}
