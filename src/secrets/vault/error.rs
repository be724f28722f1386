//! What can go wrong between us and Vault that is no job's fault. Texts are fragments that name what was
//! tried, where, Vault's own words, the likely cause and what to do.

use std::path::PathBuf;

/// A fault of the server, the way to it, or the host's settings and credentials.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A setting that cannot work.
    #[error("setting {key}: {reason}")]
    Setting {
        /// Its name in the settings file.
        key: &'static str,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// A file with a credential or certificate that is missing, unsafe or holds something else.
    #[error("{key} {path}: {reason}", path = .path.display())]
    File {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, with the command that puts it right.
        reason: String,
    },
    /// A command that was to print the secret id.
    #[error("vault.approle.secret_id_command {program}: {reason}")]
    Command {
        /// The program.
        program: String,
        /// What happened, and what it said.
        reason: String,
    },
    /// A request that failed.
    #[error("cannot {doing} at {at}: {words}{}; {hint}", told(*.tries))]
    Request {
        /// Verb and API path, e.g. `read kv/data/app`.
        doing: String,
        /// Address and namespace.
        at: String,
        /// The status it answered with, if it did.
        status: Option<u16>,
        /// The server's own words, or what happened on the way.
        words: String,
        /// How often it was tried.
        tries: u32,
        /// Likely cause and next step.
        hint: String,
    },
    /// A wrapping token that the server knows no more, or never knew.
    #[error(
        "the wrapping token is not valid at {at}: it was used already, has expired, or is forged (the server does not \
         tell which). If it was not you who used it, somebody else has the secret_id: treat it as an incident, look for \
         sys/wrapping/unwrap in the server's audit log, destroy the role's secret_ids, and have another one wrapped"
    )]
    Wrapping {
        /// Address and namespace.
        at: String,
    },
    /// A login that was refused a short while ago and would be again.
    #[error(
        "no login at {login}: it was refused with the secret_id of {secret_id} and that is still the same, and five \
         refusals lock the role for all hosts; put a new one there (or wait {seconds} s, or remove {marker})",
        marker = .marker.display()
    )]
    Breaker {
        /// Address, namespace and mount.
        login: String,
        /// Where the secret id is that has to change.
        secret_id: String,
        /// Time after which it is tried again anyway.
        seconds: u64,
        /// The file that remembers the refusal.
        marker: PathBuf,
    },
}

impl VaultError {
    /// Whether the server heard us and said no, and will say so again.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Request { status: Some(400..=404), .. })
    }

    /// Adds to what a failed request tells; nothing to others, or where there is no remark.
    pub(super) fn with_remark(mut self, remark: &str) -> Self {
        if let Self::Request { hint, .. } = &mut self {
            hint.push_str(remark);
        }
        self
    }
}

fn told(tries: u32) -> String {
    if tries > 1 { format!(" ({tries} tries)") } else { String::new() }
}
