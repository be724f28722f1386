//! One call to the daemon: what is tried on what, its deadline, and how "not there" is read.

use std::future::pending;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;

use super::fault;
use crate::engine::meter::{Meter, Share};
use crate::engine::{EngineError, Fault, Removed};

/// How long each kind of call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// What the daemon answers from memory: lists, inspects, the head of an attach.
    pub control: Duration,
    /// What makes it work on disks, cgroups and bridges: create, start, upload, removals. A daemon that answers
    /// nothing else meanwhile is given up sooner: after three times `control`.
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
    /// Whom to ask whether it lives, where this call may take its time; and between two such questions.
    pub(super) pulse: Option<(&'a Docker, Duration)>,
}

/// A daemon that did not answer so many pings in a row does not answer the call that they are for either.
const MISSED: u32 = 2;

impl Call<'_> {
    /// Waits for the answer, but not longer than the deadline, and not for a daemon that hangs.
    pub(super) async fn run<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        let _under_way = self.meter.begin(Share::Engine);
        tokio::select! {
            biased;
            answer = tokio::time::timeout(self.deadline, answer) => match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(fault::of(self.verb, self.object, &error)),
                Err(_elapsed) => Err(self.late("no answer from the daemon", self.deadline)),
            },
            waited = self.silence() => {
                Err(self.late("no answer from the daemon, to a ping neither,", waited))
            }
        }
    }

    /// Ends once the daemon answers pings no more, and says how long that took: it is at nothing, and not at
    /// something long.
    async fn silence(&self) -> Duration {
        let Some((docker, pulse)) = self.pulse else { return pending().await };
        let mut missed = 0;
        tokio::time::sleep(pulse).await;
        while missed < MISSED {
            // Whether it is a good answer the call's own will tell. Boxed, as hardly any call comes so far.
            let answered = tokio::time::timeout(pulse, Box::pin(docker.ping())).await.is_ok();
            if answered {
                missed = 0;
                tokio::time::sleep(pulse).await;
            } else {
                missed += 1;
            }
        }
        pulse * (1 + MISSED)
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
