//! What a session asks for and has answered at once: Init, signals, masks, how the container stands. Stages are
//! `follow`'s.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::io::AsyncWrite;

use super::{Client, ClientError, unexpected};
use crate::agent::protocol::{
    GRACE, Init, InitReport, Probe, Reply, StageSignal, Stat, Verb, WireSecret,
};

/// What a takeover may last beyond the deadline of other requests: grace, sweep and farewell.
const TAKEOVER_EXTRA: Duration = Duration::from_secs(GRACE.as_secs() + 15);

impl<O, W, E> Client<O, W>
where
    O: Stream<Item = Result<Bytes, E>> + Unpin,
    W: AsyncWrite + Unpin,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Hands over secrets, environment and identity, once in the container's life.
    ///
    /// # Errors
    /// [`ClientError::AlreadyInitialised`] the second time; a [`Refusal`] that says what in it is wrong.
    pub async fn init(&mut self, init: Init) -> Result<InitReport, ClientError> {
        match self.call("init", &Verb::Init(init), self.deadline).await? {
            Reply::Ready(report) => Ok(report),
            reply => Err(unexpected(reply)),
        }
    }

    /// Signals the stage that this session runs.
    ///
    /// # Errors
    /// Refused where no stage runs, or another session's.
    pub async fn signal(&mut self, signal: StageSignal) -> Result<(), ClientError> {
        match self.call("signal", &Verb::Signal(signal), self.deadline).await? {
            Reply::Done => Ok(()),
            reply => Err(unexpected(reply)),
        }
    }

    /// Ends whatever stage runs, with TERM, grace and KILL; returns once nothing of it is left.
    ///
    /// # Errors
    /// The agent is gone or silent.
    pub async fn takeover(&mut self) -> Result<(), ClientError> {
        let deadline = self.deadline + TAKEOVER_EXTRA;
        match self.call("takeover", &Verb::Takeover, deadline).await? {
            Reply::Done => Ok(()),
            reply => Err(unexpected(reply)),
        }
    }

    /// Masks these too, in what comes from now on.
    ///
    /// # Errors
    /// Refused before Init, or where a value cannot be masked.
    pub async fn mask(&mut self, values: Vec<WireSecret>) -> Result<(), ClientError> {
        match self.call("mask", &Verb::Mask(values), self.deadline).await? {
            Reply::Done => Ok(()),
            reply => Err(unexpected(reply)),
        }
    }

    /// Asks how the container stands.
    ///
    /// # Errors
    /// The agent is gone or silent.
    pub async fn stat(&mut self) -> Result<Stat, ClientError> {
        match self.call("stat", &Verb::Stat, self.deadline).await? {
            Reply::Stat(stat) => Ok(stat),
            reply => Err(unexpected(reply)),
        }
    }

    /// Asks whether services answer on the container's network: why each does not, `None` for those that
    /// do.
    ///
    /// # Errors
    /// The agent is gone or silent.
    pub async fn probe(&mut self, probe: Probe) -> Result<Vec<Option<String>>, ClientError> {
        let deadline = self.deadline + probe.within;
        match self.call("probe", &Verb::Probe(probe), deadline).await? {
            Reply::Probed(probed) => Ok(probed),
            reply => Err(unexpected(reply)),
        }
    }
}
