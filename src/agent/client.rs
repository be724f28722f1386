//! The driver's side of an attach: opens a session and speaks with the agent over any byte stream. It
//! does not know the container engine, and decides nothing about outcomes.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::frame::{Channel, Event, FrameError, FrameReader};
use super::protocol::{Answer, Exec, Hello, Reply, Resume, Session, StageExit, StageSignal, Verb};
use super::request::encode_request;

mod error;
mod follow;
mod outbox;
mod tunnels;
mod verbs;

pub use error::ClientError;
pub use follow::StageSink;
use outbox::Outbox;
pub use tunnels::Tunnel;

/// One session with the agent, over one attach.
pub struct Client<O, W> {
    output: O,
    reader: FrameReader,
    /// What was read and not yet cut into events.
    unread: Bytes,
    outbox: Outbox<W>,
    session: Session,
    requests: u32,
    deadline: Duration,
    /// How far the followed stage's output was consumed.
    consumed: Consumption,
    tunnels: tunnels::Hub,
}

/// How far a stage's output was consumed: whole frames, and bytes of the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Consumption {
    frames: u64,
    bytes: usize,
}

/// Where a stage whose attach was lost is to be taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    session: Session,
    consumed: Consumption,
}

impl<O, W, E> Client<O, W>
where
    O: Stream<Item = Result<Bytes, E>> + Unpin,
    W: AsyncWrite + Unpin,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Opens a session over a fresh attach. `session` must be random and never used before;
    /// `deadline` holds for this and for each later request but a stage.
    ///
    /// # Errors
    /// The agent is gone, silent, or of another version.
    pub async fn connect(
        output: O,
        input: W,
        session: Session,
        deadline: Duration,
    ) -> Result<(Self, Hello), ClientError> {
        let mut client = Self {
            output,
            reader: FrameReader::new(session),
            unread: Bytes::new(),
            outbox: Outbox::new(input),
            session,
            requests: 0,
            deadline,
            consumed: Consumption::default(),
            tunnels: tunnels::Hub::new(),
        };
        match client.call("hello", &Verb::Hello, deadline).await? {
            Reply::Hello(hello) => Ok((client, hello)),
            reply => Err(unexpected(reply)),
        }
    }

    /// Hands the connections to the job's Docker socket over to whoever receives them, while a stage is
    /// followed; without this they are closed at once.
    pub fn accept_tunnels(&mut self, acceptor: mpsc::UnboundedSender<Tunnel>) {
        self.tunnels.accept(acceptor);
    }

    /// Who that is.
    pub fn tunnel_acceptor(&self) -> Option<mpsc::UnboundedSender<Tunnel>> {
        self.tunnels.acceptor()
    }

    /// Runs a stage and sees it through: its output goes to `sink`, what comes from `controls` goes to
    /// the stage. A sink that takes its time holds the stage's output, but neither pings nor controls.
    ///
    /// # Errors
    /// After [`ClientError::Gone`], `Output`, `Input` or `Deadline` the stage may still run; see
    /// [`Client::position`].
    pub async fn exec<S: StageSink>(
        &mut self,
        exec: Exec,
        sink: &mut S,
        controls: &mut mpsc::Receiver<StageSignal>,
    ) -> Result<StageExit, ClientError> {
        self.consumed = Consumption::default();
        let number = self.send("exec", &Verb::Exec(exec))?;
        self.follow(number, sink, controls).await
    }

    /// Takes a stage up again over a new attach, where the lost one left it.
    ///
    /// # Errors
    /// As [`Client::exec`]; refused where that stage is no longer there.
    pub async fn resume<S: StageSink>(
        &mut self,
        position: Position,
        sink: &mut S,
        controls: &mut mpsc::Receiver<StageSignal>,
    ) -> Result<StageExit, ClientError> {
        self.consumed = position.consumed;
        let resume = Resume { session: position.session, frame: position.consumed.frames };
        let number = self.send("resume", &Verb::Resume(resume))?;
        self.follow(number, sink, controls).await
    }

    /// Where a new client has to [`Client::resume`] the stage that this one followed last. To be asked
    /// once `exec` or `resume` has returned an error.
    pub fn position(&self) -> Position {
        Position { session: self.session, consumed: self.consumed }
    }

    async fn call(
        &mut self,
        name: &'static str,
        verb: &Verb,
        deadline: Duration,
    ) -> Result<Reply, ClientError> {
        let number = self.send(name, verb)?;
        let answered = async {
            loop {
                if let Event::Answer(Answer { request, reply }) = self.next_event().await?
                    && request == number
                {
                    return Ok(reply);
                }
            }
        };
        let answered = tokio::time::timeout_at(Instant::now() + deadline, answered).await;
        answered.unwrap_or(Err(ClientError::Deadline { verb: name, after: deadline }))
    }

    /// Puts a message into the outbox and answers its number.
    fn send(&mut self, name: &'static str, verb: &Verb) -> Result<u32, ClientError> {
        self.requests += 1;
        let coded = encode_request(self.session, self.requests, verb)
            .map_err(|source| ClientError::TooLong { verb: name, source })?;
        self.outbox.push(coded);
        Ok(self.requests)
    }

    /// The next event that is none of a tunnel's; writes what outbox and tunnels hold meanwhile. Safe to
    /// drop and to call again.
    async fn next_event(&mut self) -> Result<Event, ClientError> {
        loop {
            while let Some(event) = self.reader.next(&mut self.unread)? {
                if let Some(event) = self.tunnels.sort(event) {
                    return Ok(event);
                }
            }
            tokio::select! {
                read = self.output.next() => match read {
                    Some(Ok(bytes)) => self.unread = bytes,
                    Some(Err(error)) => return Err(ClientError::Output { source: error.into() }),
                    None => return Err(ClientError::Gone),
                },
                written = self.outbox.drive(), if !self.outbox.is_empty() => {
                    written.map_err(|source| ClientError::Input { source })?;
                }
                (Channel(channel), message) = self.tunnels.next_message(),
                    if !self.outbox.is_long() =>
                {
                    self.send("tunnel", &Verb::Tunnel { channel, message })?;
                }
            }
        }
    }
}

fn unexpected(reply: Reply) -> ClientError {
    match reply {
        Reply::Refused(refusal) => refusal.into(),
        _ => ClientError::Garbled { source: FrameError::Garbled },
    }
}
