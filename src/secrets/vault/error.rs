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
        /// The server's own words, or what happened on the way.
        words: String,
        /// How often it was tried.
        tries: u32,
        /// Likely cause and next step.
        hint: String,
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
