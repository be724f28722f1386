//! Cuts what an attach delivers into events for one session. Pure, and it copies no payload of output.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{Channel, FrameError, FrameHead, FrameKind, HEADER, MAX_MESSAGE, decode_answer};
use crate::agent::protocol::{Answer, Session};

/// What came out of the agent's stream for this driver.
#[derive(Debug)]
pub enum Event {
    /// Output of the stage: a whole frame, or a part of one.
    Output {
        /// Stdout or stderr.
        channel: Channel,
        /// The bytes, shared with what was read.
        bytes: Bytes,
        /// Whether these bytes end a frame, which then counts as one for acknowledgement.
        ends_frame: bool,
    },
    /// An answer.
    Answer(Answer),
    /// A tunnel begins.
    Opened(Channel),
    /// Bytes of a tunnel.
    Tunnelled {
        /// The tunnel's.
        channel: Channel,
        /// A whole frame, or a part of one.
        bytes: Bytes,
    },
    /// No more bytes come from this tunnel.
    Ended(Channel),
}

/// Finds this session's frames in what an attach delivers, copying no payload of output.
pub struct FrameReader {
    session: Session,
    state: State,
    control: Zeroizing<Vec<u8>>,
}

enum State {
    /// Everything up to our own session id is of no concern; holds the last 15 bytes at most.
    Seeking(Vec<u8>),
    Head(Vec<u8>),
    Payload {
        head: FrameHead,
        left: usize,
    },
}

impl FrameReader {
    /// Starts on a fresh attach that will say this session's hello.
    pub fn new(session: Session) -> Self {
        Self { session, state: State::Seeking(Vec::new()), control: Zeroizing::default() }
    }

    /// Takes bytes off the front of `input` up to the next event; `None` once they are used up.
    ///
    /// # Errors
    /// The stream is not what an agent of our version writes.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Event>, FrameError> {
        while !input.is_empty() {
            match &mut self.state {
                State::Seeking(_) => self.seek(input),
                State::Head(_) => {
                    if let Some(event) = self.head(input)? {
                        return Ok(Some(event));
                    }
                }
                State::Payload { .. } => {
                    if let Some(event) = self.payload(input)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
        Ok(None)
    }

    fn seek(&mut self, input: &mut Bytes) {
        let State::Seeking(tail) = &mut self.state else {
            return;
        };
        tail.extend_from_slice(&std::mem::take(input));
        match tail.windows(16).position(|window| window == self.session.0) {
            Some(start) => {
                *input = Bytes::from(tail.split_off(start));
                self.state = State::Head(Vec::with_capacity(HEADER));
            }
            None => {
                tail.drain(..tail.len().saturating_sub(15));
            }
        }
    }

    fn head(&mut self, input: &mut Bytes) -> Result<Option<Event>, FrameError> {
        let State::Head(have) = &mut self.state else {
            return Ok(None);
        };
        let part = input.split_to(input.len().min(HEADER - have.len()));
        have.extend_from_slice(&part);
        let Ok(bytes) = <&[u8; HEADER]>::try_from(have.as_slice()) else {
            return Ok(None);
        };
        let head = FrameHead::parse(bytes)?;
        self.state = State::Payload { head, left: head.length as usize };
        // An empty payload would wait for bytes that belong to the next frame.
        if head.length == 0 { self.payload(input) } else { Ok(None) }
    }

    fn payload(&mut self, input: &mut Bytes) -> Result<Option<Event>, FrameError> {
        let State::Payload { head, left } = &mut self.state else {
            return Ok(None);
        };
        let bytes = input.split_to(input.len().min(*left));
        *left -= bytes.len();
        let (head, ends_frame) = (*head, *left == 0);
        if ends_frame {
            self.state = State::Head(Vec::with_capacity(HEADER));
        }
        if head.session != self.session {
            return Ok(None);
        }
        if head.channel.is_tunnel() {
            return Ok(tunnelled(head, bytes, ends_frame));
        }
        if head.channel != Channel::CONTROL {
            return Ok(Some(Event::Output { channel: head.channel, bytes, ends_frame }));
        }
        if self.control.len() + bytes.len() > MAX_MESSAGE {
            return Err(FrameError::TooLong { length: self.control.len() + bytes.len() });
        }
        self.control.extend_from_slice(&bytes);
        if !ends_frame || head.kind == FrameKind::More {
            return Ok(None);
        }
        let message = std::mem::take(&mut self.control);
        Ok(Some(Event::Answer(decode_answer(&message)?)))
    }
}

/// What a frame of a tunnel, or a part of one, tells.
fn tunnelled(head: FrameHead, bytes: Bytes, ends_frame: bool) -> Option<Event> {
    let channel = head.channel;
    match head.kind {
        FrameKind::Open => ends_frame.then_some(Event::Opened(channel)),
        FrameKind::End => ends_frame.then_some(Event::Ended(channel)),
        FrameKind::Whole | FrameKind::More => Some(Event::Tunnelled { channel, bytes }),
    }
}
