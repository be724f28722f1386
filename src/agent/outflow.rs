//! The output of one stage on its way to a driver: a numbered row of frames under one window, kept
//! until acknowledged, so that a new attach can take it up without a gap. It does no input or output.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::frame::{Channel, MAX_PAYLOAD};
use super::protocol::{Session, StageExit, WINDOW, frame_cost};

/// Whom the output goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Audience {
    pub(super) session: Session,
    /// The request that [`Parcel::Exit`] answers.
    pub(super) request: u32,
}

/// What is to be sent next.
#[derive(Debug, PartialEq)]
pub(super) enum Parcel {
    Output(Channel, Bytes),
    Exit(Box<StageExit>),
}

/// The row of frames.
pub(super) struct Outflow {
    state: Mutex<State>,
    /// Pumps wait here for room.
    room: Notify,
    /// The sender waits here for something to send.
    work: Notify,
}

struct State {
    audience: Audience,
    frames: VecDeque<(Channel, Bytes)>,
    /// Number of the front frame.
    first: u64,
    /// Number of the frame to send next.
    cursor: u64,
    cost: usize,
    paused: bool,
    abandoned: bool,
    exit: Option<StageExit>,
    exit_sent: bool,
}

impl State {
    fn take(&mut self) -> Option<(Audience, Parcel)> {
        let index = usize::try_from(self.cursor - self.first).ok()?;
        if let Some((channel, bytes)) = self.frames.get(index) {
            self.cursor += 1;
            return Some((self.audience, Parcel::Output(*channel, bytes.clone())));
        }
        if self.exit_sent {
            return None;
        }
        let exit = self.exit.clone()?;
        self.exit_sent = true;
        Some((self.audience, Parcel::Exit(Box::new(exit))))
    }
}

impl Outflow {
    pub(super) fn new(audience: Audience) -> Self {
        let state = State {
            audience,
            frames: VecDeque::new(),
            first: 0,
            cursor: 0,
            cost: 0,
            paused: false,
            abandoned: false,
            exit: None,
            exit_sent: false,
        };
        Self { state: Mutex::new(state), room: Notify::new(), work: Notify::new() }
    }

    /// Waits until the stage's pipes may be read; `false` once nobody wants the rest.
    pub(super) async fn room(&self) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.room.notified());
            changed.as_mut().enable();
            {
                let state = self.lock();
                if state.abandoned {
                    return false;
                }
                if !state.paused && state.cost < WINDOW {
                    return true;
                }
            }
            changed.await;
        }
    }

    /// Resolves once nobody wants the rest.
    pub(super) async fn abandoned(&self) {
        loop {
            let mut changed = std::pin::pin!(self.room.notified());
            changed.as_mut().enable();
            if self.lock().abandoned {
                return;
            }
            changed.await;
        }
    }

    /// Appends output, cut into frames.
    pub(super) fn push(&self, channel: Channel, mut bytes: Bytes) {
        let mut state = self.lock();
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(MAX_PAYLOAD));
            state.cost += frame_cost(part.len());
            state.frames.push_back((channel, part));
        }
        drop(state);
        self.work.notify_one();
    }

    /// The next parcel and whom it is for; waits for one.
    pub(super) async fn next(&self) -> (Audience, Parcel) {
        loop {
            if let Some(next) = self.lock().take() {
                return next;
            }
            self.work.notified().await;
        }
    }

    /// Frees what was consumed: all frames below `number`.
    pub(super) fn acknowledge(&self, number: u64) {
        let mut state = self.lock();
        // Never beyond what was sent: a wrong number must not lose output.
        while state.first < number.min(state.cursor) {
            let Some((_, bytes)) = state.frames.pop_front() else {
                break;
            };
            state.cost -= frame_cost(bytes.len());
            state.first += 1;
        }
        drop(state);
        self.room.notify_waiters();
    }

    /// Sends everything from `frame` on again, to another audience.
    pub(super) fn resume(&self, audience: Audience, frame: u64) {
        self.acknowledge(frame);
        let mut state = self.lock();
        state.audience = audience;
        state.cursor = state.first;
        state.exit_sent = false;
        state.paused = false;
        drop(state);
        self.room.notify_waiters();
        self.work.notify_one();
    }

    /// Stops or continues the reading of the stage's pipes.
    pub(super) fn pause(&self, paused: bool) {
        self.lock().paused = paused;
        self.room.notify_waiters();
    }

    /// Nobody wants the rest: pumps end.
    pub(super) fn abandon(&self) {
        self.lock().abandoned = true;
        self.room.notify_waiters();
    }

    /// Everything was pushed, this is the end.
    pub(super) fn finish(&self, exit: StageExit) {
        self.lock().exit = Some(exit);
        self.work.notify_one();
    }

    pub(super) fn audience(&self) -> Audience {
        self.lock().audience
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
