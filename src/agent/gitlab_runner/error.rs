//! Everything that can keep files from travelling. Each error says whether a second try makes sense.

use reqwest::StatusCode;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why artifacts or a cache were not moved, or only in part.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A command or option that this binary does not know, and nobody else to ask.
    #[error(
        "{what} is not known to longshore, and the image has no other gitlab-runner on PATH; \
         use a helper image that brings gitlab-runner-helper"
    )]
    Unknown {
        /// What was asked for, such as `option --foo`.
        what: String,
    },
    /// An option is missing or cannot be read.
    #[error("{option} {problem}")]
    Option {
        /// The option's name, dashes and all.
        option: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A path pattern that is no pattern.
    #[error("the pattern {pattern:?} cannot be read")]
    Pattern {
        /// As the job wrote it.
        pattern: String,
        /// What the matcher says.
        #[source]
        source: globset::Error,
    },
    /// The other `gitlab-runner` could not be started.
    #[error("cannot run {}", program.display())]
    HandOver {
        /// The program found on PATH.
        program: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file operation failed.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was tried: `read`, `create`.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Archive {
        /// What packer or sink said.
        #[source]
        source: io::Error,
    },
    /// The archive could not be read, or is none.
    #[error("the archive cannot be read")]
    NotReadable {
        /// What kernel or unpacker said.
        #[source]
        source: io::Error,
    },
    /// More than one file, or none, for a format that takes one.
    #[error("format raw takes exactly one file, and {count} match; name one file or use zip")]
    NotOneFile {
        /// How many there are.
        count: usize,
    },
    /// What came is no readable zip.
    #[error("the archive cannot be read")]
    Unreadable {
        /// What the zip reader said.
        #[source]
        source: zip::result::ZipError,
    },
    /// What came would write where it must not, or more than it may.
    #[error("the archive is refused: {reason}")]
    Refused {
        /// What was found, and at which entry.
        reason: String,
    },
    /// TLS or URL settings that cannot be used.
    #[error("cannot set up the connection: {problem}")]
    Setup {
        /// What is wrong.
        problem: String,
    },
    /// No answer: refused, reset, timed out.
    #[error("no answer from {who} at {host}")]
    NoAnswer {
        /// Whose server it is.
        who: &'static str,
        /// Host and port.
        host: String,
        /// Why; its URL is taken out, as redirects carry signatures.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is a refusal.
    #[error("{who} answered {status}{detail}; {hint}")]
    Status {
        /// Whose server it is.
        who: &'static str,
        /// The HTTP status.
        status: StatusCode,
        /// Its message with a colon before it, or nothing.
        detail: String,
        /// What a person can do.
        hint: &'static str,
        /// How long the server asks to wait before another try.
        retry_after: Option<Duration>,
    },
    /// A cache that is not there; the script goes on to the next key.
    #[error("there is no cache at {}", path.display())]
    NoCache {
        /// Where it would be.
        path: PathBuf,
    },
    /// The same of the bucket; what this host has is older than its disappearance.
    #[error("the runner's shared cache has none of this key")]
    NotInBucket,
    /// A bucket that only GitLab's own binary can talk to.
    #[error(
        "option --gocloud-url: the runner's cache is a bucket by its own credentials, which longshore does \
         not speak; use a helper image that brings gitlab-runner-helper, or static keys in [runners.cache] \
         so that the runner signs addresses"
    )]
    GoCloud,
    /// More redirects than anybody needs, or one to nowhere.
    #[error("the coordinator sent a redirect that cannot be followed: {problem}")]
    Redirect {
        /// What is wrong with it.
        problem: String,
    },
}

impl TransferError {
    /// Whether the same request may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            _ => false,
        }
    }

    /// Whether the server said that it is away for a while.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::SERVICE_UNAVAILABLE)
    }

    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The whole chain in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
