//! Follows one stage: reads, pings, signals and acknowledges side by side, while the sink takes its
//! time. It starts no task; all of it is one future.

use std::cell::Cell;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::io::AsyncWrite;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior};

use super::super::frame::{Channel, Event};
use super::super::protocol::{
    Answer, PING_INTERVAL, Reply, StageExit, StageSignal, Verb, WINDOW, frame_cost,
};
use super::{Client, ClientError, Consumption, unexpected};

/// How long the agent may say nothing at all, not even to pings, before it is given up. A container
/// at its memory limit can be slow for long.
const SILENCE: Duration = Duration::from_mins(1);

/// Consumed output that is acknowledged at once and not with the next ping.
const ACKNOWLEDGE_AT: usize = WINDOW / 4;

/// Where a stage's output goes.
#[expect(async_fn_in_trait, reason = "one thread drives a call; no future crosses threads")]
pub trait StageSink {
    /// Takes some bytes of the stage's stdout or stderr; returns once they are passed on.
    ///
    /// # Errors
    /// They cannot be passed on; the following of the stage ends with [`ClientError::Sink`].
    async fn write(&mut self, channel: Channel, bytes: Bytes) -> io::Result<()>;
}

/// Output between the attach and the sink.
struct Piece {
    channel: Channel,
    bytes: Bytes,
    ends_frame: bool,
}

/// What the sink has consumed.
struct Consumed {
    so_far: Cell<Consumption>,
    /// Cost of what was consumed since the last acknowledgement.
    cost: Cell<usize>,
    much: Notify,
}

impl Consumed {
    fn frame(&self, length: usize) {
        self.so_far.set(Consumption { frames: self.so_far.get().frames + 1, bytes: 0 });
        self.cost.set(self.cost.get() + frame_cost(length));
        if self.cost.get() >= ACKNOWLEDGE_AT {
            self.much.notify_one();
        }
    }

    fn part_of_frame(&self, bytes: usize) {
        self.so_far.set(Consumption { bytes, ..self.so_far.get() });
    }
}

/// Feeds the sink until the sender is dropped.
async fn feed<S: StageSink>(
    sink: &mut S,
    mut pieces: mpsc::UnboundedReceiver<Piece>,
    consumed: &Consumed,
) -> io::Result<()> {
    // A frame of which the sink had a part before the attach was lost comes again as a whole.
    let mut known = consumed.so_far.get().bytes;
    let mut passed = 0;
    while let Some(Piece { channel, mut bytes, ends_frame }) = pieces.recv().await {
        let length = bytes.len();
        let news = bytes.split_off(known.saturating_sub(passed).min(length));
        if !news.is_empty() {
            sink.write(channel, news).await?;
        }
        passed += length;
        if ends_frame {
            consumed.frame(passed);
            (known, passed) = (0, 0);
        } else {
            consumed.part_of_frame(passed.max(known));
        }
    }
    Ok(())
}

impl<O, W, E> Client<O, W>
where
    O: Stream<Item = Result<Bytes, E>> + Unpin,
    W: AsyncWrite + Unpin,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Sees the stage of request `number` through.
    pub(super) async fn follow<S: StageSink>(
        &mut self,
        number: u32,
        sink: &mut S,
        controls: &mut mpsc::Receiver<StageSignal>,
    ) -> Result<StageExit, ClientError> {
        let so_far = Cell::new(self.consumed);
        let consumed = Consumed { so_far, cost: Cell::new(0), much: Notify::new() };
        let (pieces, receiver) = mpsc::unbounded_channel();
        let mut feeding = std::pin::pin!(feed(sink, receiver, &consumed));
        // Held until the stage's exit; its drop lets `feeding` end once all is consumed.
        let mut pieces = Some(pieces);
        let mut exit = None;
        let mut ping = tokio::time::interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let result = loop {
            tokio::select! {
                event = self.next_event() => {
                    heard = Instant::now();
                    match sort(event, number, pieces.as_ref()) {
                        Ok(None) => {}
                        Ok(ended) => { exit = ended; pieces = None; }
                        Err(error) => break Err(error),
                    }
                }
                fed = &mut feeding => match (fed, exit.take()) {
                    (Ok(()), Some(exit)) => break Ok(exit),
                    (Ok(()), None) => break Err(ClientError::Gone),
                    (Err(source), _) => break Err(ClientError::Sink { source }),
                },
                Some(signal) = controls.recv() => { self.send("signal", &Verb::Signal(signal))?; }
                () = consumed.much.notified() => self.acknowledge(&consumed)?,
                _ = ping.tick() => {
                    if heard.elapsed() >= SILENCE {
                        break Err(ClientError::Deadline { verb: "ping", after: SILENCE });
                    }
                    self.acknowledge(&consumed)?;
                    self.send("ping", &Verb::Ping)?;
                }
            }
        };
        self.consumed = consumed.so_far.get();
        result
    }

    fn acknowledge(&mut self, consumed: &Consumed) -> Result<(), ClientError> {
        if consumed.cost.replace(0) > 0 {
            let below = consumed.so_far.get().frames;
            self.send("acknowledge", &Verb::Acknowledge(below))?;
        }
        Ok(())
    }
}

/// Sorts one event: output to the sink, the stage's exit to the caller; what else is answered (pongs,
/// signals to a stage that has just ended) is of no concern.
fn sort(
    event: Result<Event, ClientError>,
    number: u32,
    pieces: Option<&mpsc::UnboundedSender<Piece>>,
) -> Result<Option<StageExit>, ClientError> {
    match event? {
        Event::Output { channel, bytes, ends_frame } => {
            if let Some(pieces) = pieces {
                // The receiver goes only with a failed sink, which is told on its own.
                let _ = pieces.send(Piece { channel, bytes, ends_frame });
            }
            Ok(None)
        }
        Event::Answer(Answer { request, reply }) if request == number => match reply {
            Reply::Exited(exit) => Ok(Some(*exit)),
            reply => Err(unexpected(reply)),
        },
        Event::Answer(_) | Event::Opened(_) | Event::Tunnelled { .. } | Event::Ended(_) => Ok(None),
    }
}
