//! Why the agent does not do what it is asked, in words for a job log. Pure.

use serde::{Deserialize, Serialize};

/// Why the agent did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The request came before Init.
    #[error("the container has not been initialised")]
    NotInitialised,
    /// Init came a second time.
    #[error("the container has been initialised before")]
    AlreadyInitialised,
    /// A stage runs, here or in another session.
    #[error("stage {stage} is still running")]
    Busy {
        /// The stage that runs.
        stage: String,
    },
    /// No stage runs.
    #[error("no stage is running")]
    Idle,
    /// The stage that runs belongs to another session.
    #[error("stage {stage} belongs to another session")]
    NotYours {
        /// The stage that runs.
        stage: String,
    },
    /// The image has no shell where GitLab looks for one.
    #[error("the image has no shell (looked for {looked_for})")]
    NoShell {
        /// Where was looked, separated by blanks.
        looked_for: String,
    },
    /// The image has no such user.
    #[error("user {user:?} is not in the image's /etc/passwd")]
    UnknownUser {
        /// The name.
        user: String,
    },
    /// The image has no such group.
    #[error("group {group:?} is not in the image's /etc/group")]
    UnknownGroup {
        /// The name.
        group: String,
    },
    /// A program could not be started.
    #[error("cannot start {program:?}: {}", errno_text(*.errno))]
    Start {
        /// The entrypoint's first word or the shell.
        program: String,
        /// The kernel's error number.
        errno: i32,
    },
    /// Something about a path failed.
    #[error("cannot {verb} {path}: {}", errno_text(*.errno))]
    Path {
        /// What was tried, e.g. `create directory`.
        verb: String,
        /// The path.
        path: String,
        /// The kernel's error number.
        errno: i32,
    },
    /// A secret file would rest on a disk.
    #[error("{path} is not on a tmpfs, so no secret is written there")]
    NotTmpfs {
        /// The path.
        path: String,
    },
    /// A value cannot be masked.
    #[error("a value cannot be masked: {why}")]
    Unmaskable {
        /// Why not.
        why: String,
    },
    /// A secret for the environment holds a NUL byte.
    #[error("the value of {name} holds a NUL byte, which no environment can carry")]
    NulByte {
        /// The variable's name.
        name: String,
    },
}

/// The kernel's words for an error number.
fn errno_text(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}
