//! One call to the daemon: what is tried on what, its deadline, and how "not there" is read.

use std::time::Duration;

use bollard::errors::Error;

use super::fault;
use crate::engine::meter::{Meter, Share};
use crate::engine::{EngineError, Fault, Removed};

/// How long each kind of call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// What the daemon answers from memory: lists, inspects, the head of an attach.
    pub control: Duration,
    /// What makes it work on disks, cgroups and bridges: create, start, upload, removals.
    pub work: Duration,
    /// Between two signs of life of a pull.
    pub pull_idle: Duration,
    /// A pull as a whole.
    pub pull_total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            control: Duration::from_secs(10),
            work: Duration::from_mins(1),
            pull_idle: Duration::from_mins(1),
            // The settings' own deadline comes first.
            pull_total: Duration::from_hours(24),
        }
    }
}

/// What is tried, on what, for how long.
pub(super) struct Call<'a> {
    pub(super) verb: &'static str,
    pub(super) object: &'a str,
    pub(super) deadline: Duration,
    pub(super) meter: &'a Meter,
}

impl Call<'_> {
    /// Waits for the answer, but not longer than the deadline.
    pub(super) async fn run<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        let _under_way = self.meter.begin(Share::Engine);
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(fault::of(self.verb, self.object, &error)),
            Err(_elapsed) => Err(self.late("no answer from the daemon", self.deadline)),
        }
    }

    /// The error of a deadline that passed.
    pub(super) fn late(&self, what: &str, limit: Duration) -> EngineError {
        self.failed(Fault::Deadline, format!("{what} within {}", humantime::format_duration(limit)))
    }

    /// An error of this call.
    pub(super) fn failed(&self, fault: Fault, cause: String) -> EngineError {
        EngineError {
            verb: self.verb,
            object: self.object.to_owned(),
            fault,
            cause,
            retry_after: None,
        }
    }

    /// The object as a part of a URL path, in which bollard puts it as it is: a `?` or `..` in it would
    /// make another request of it.
    pub(super) fn path(&self) -> Result<&str, EngineError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@+[]".contains(&byte);
        let walks = self.object.split('/').any(|part| matches!(part, "" | "." | ".."));
        if walks || !self.object.bytes().all(plain) {
            let cause = format!("{:?} is not a name that the daemon could know", self.object);
            return Err(self.failed(Fault::Refused, cause));
        }
        Ok(self.object)
    }
}

/// Reads "there is no such object" as `None`.
pub(super) fn found<T>(answer: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.fault == Fault::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads "there is no such object" as removed.
pub(super) fn removed<T>(answer: Result<T, EngineError>) -> Result<Removed, EngineError> {
    Ok(found(answer)?.map_or(Removed::Absent, |_answer| Removed::Gone))
}
