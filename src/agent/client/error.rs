//! Why a conversation with the agent came to nothing.

use std::error::Error as StdError;
use std::time::Duration;

use super::super::frame::FrameError;
use super::super::protocol::Refusal;

/// Why a request to the agent came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The attach's output ended: the container stopped, or the daemon hung up.
    #[error("the agent is gone: its output ended")]
    Gone,
    /// The attach's output broke.
    #[error("the agent is gone: {source}")]
    Output {
        /// What the stream said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The attach's input broke.
    #[error("the agent is gone: cannot write to it: {source}")]
    Input {
        /// What the writer said.
        source: std::io::Error,
    },
    /// The agent did not answer in time.
    #[error("the agent did not answer {verb} within {} s", .after.as_secs())]
    Deadline {
        /// What was asked.
        verb: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// Driver and agent come from different releases.
    #[error("the agent speaks protocol {theirs}, this driver another")]
    Version {
        /// The agent's version.
        theirs: u16,
    },
    /// The agent wrote what no agent writes, or answered what was not asked.
    #[error("the agent cannot be understood: {source}")]
    Garbled {
        /// What is wrong with it.
        source: FrameError,
    },
    /// The message is too long to be sent.
    #[error("the {verb} message is too long: {source}")]
    TooLong {
        /// What was to be asked.
        verb: &'static str,
        /// How long it is.
        source: FrameError,
    },
    /// Init was done before in this container's life.
    #[error("the container has been initialised before")]
    AlreadyInitialised,
    /// The agent refused.
    #[error(transparent)]
    Refused(Refusal),
    /// The stage's output could not be passed on; the stage goes on until somebody ends it.
    #[error("cannot pass the stage's output on: {source}")]
    Sink {
        /// What the sink said.
        source: std::io::Error,
    },
}

impl From<FrameError> for ClientError {
    fn from(source: FrameError) -> Self {
        match source {
            FrameError::Version { theirs } => Self::Version { theirs },
            source => Self::Garbled { source },
        }
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AlreadyInitialised => Self::AlreadyInitialised,
            refusal => Self::Refused(refusal),
        }
    }
}
