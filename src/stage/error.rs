//! How a call fails: whose fault it is, what happened, and what a person can do about it.

use crate::agent::client::ClientError;
use crate::engine::EngineError;
use crate::joblog::masks::Masks;
use crate::outcome::Outcome;

/// A call that did not do what it was asked. Its class is fixed where it arises.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The job asked for something that cannot be; trying again would not help.
    #[error("{message}")]
    Job {
        /// What, why, what to do.
        message: String,
    },
    /// The host, a service or we ourselves failed.
    #[error("{message}")]
    System {
        /// What, why, what to do.
        message: String,
    },
}

impl CallError {
    /// The job's own fault.
    #[expect(clippy::needless_pass_by_value, reason = "errors are handed over where they end")]
    pub fn job(message: impl ToString) -> Self {
        Self::Job { message: message.to_string() }
    }

    /// Not the job's fault.
    #[expect(clippy::needless_pass_by_value, reason = "errors are handed over where they end")]
    pub fn system(message: impl ToString) -> Self {
        Self::System { message: message.to_string() }
    }

    /// The same without the values that nobody may read.
    #[must_use]
    pub fn masked(self, masks: &Masks) -> Self {
        match self {
            Self::Job { message } => Self::Job { message: masks.mask(&message) },
            Self::System { message } => Self::System { message: masks.mask(&message) },
        }
    }

    /// The outcome that the runner hears of.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Job { .. } => Outcome::JobFault,
            Self::System { .. } => Outcome::SystemFault,
        }
    }
}

impl From<EngineError> for CallError {
    fn from(error: EngineError) -> Self {
        let hint = super::hint::of_cause(&error.cause, error.fault);
        Self::System { message: format!("{error}{hint}") }
    }
}

impl From<ClientError> for CallError {
    fn from(error: ClientError) -> Self {
        Self::System { message: error.to_string() }
    }
}
