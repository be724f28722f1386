//! The wire from the agent to its drivers: frames, each for one session. Pure: it holds no descriptor
//! and never blocks; whoever reads or writes calls it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::protocol::{Answer, Session, VERSION};

/// Most payload bytes in one frame from the agent.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Most bytes of one message in either direction, as coded.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Bytes before each frame's payload.
pub const HEADER: usize = 16 + 2 + 1 + 4 + 4;

/// Which stream inside the attach a frame belongs to. Numbers from 16 on are kept for tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Channel(pub u32);

impl Channel {
    /// Answers of the agent.
    pub const CONTROL: Self = Self(0);
    /// Standard output of the stage.
    pub const STDOUT: Self = Self(1);
    /// Standard error of the stage.
    pub const STDERR: Self = Self(2);
}

/// Bytes that are neither a message nor a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Driver and agent come from different releases.
    #[error("the agent speaks protocol {theirs}, this driver {VERSION}")]
    Version {
        /// The version in the frame.
        theirs: u16,
    },
    /// A frame or message is longer than any may be.
    #[error("{length} bytes are more than a frame or message may have")]
    TooLong {
        /// The length claimed or reached.
        length: usize,
    },
    /// Not the coding of any message.
    #[error("bytes that are no message of protocol {VERSION}")]
    Garbled,
}

/// Codes an answer as the payload of control frames.
///
/// # Errors
/// [`FrameError::Garbled`] if the answer cannot be coded, which no answer of ours does.
pub fn encode_answer(answer: &Answer) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    encode(answer)
}

/// Codes a value into one buffer of its size: growing would leave copies of secrets behind.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let size = postcard::experimental::serialized_size(value).map_err(|_| FrameError::Garbled)?;
    let mut bytes = Zeroizing::new(vec![0; size]);
    postcard::to_slice(value, &mut bytes).map_err(|_| FrameError::Garbled)?;
    Ok(bytes)
}

/// Reads an answer back.
///
/// # Errors
/// [`FrameError::Garbled`] for bytes that are no answer.
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, FrameError> {
    postcard::from_bytes(bytes).map_err(|_| FrameError::Garbled)
}

/// What stands before each frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Whom the frame is for.
    pub session: Session,
    /// Which stream it belongs to.
    pub channel: Channel,
    /// Whether a control message goes on in the next control frame of this session.
    pub more: bool,
    /// Bytes of payload.
    pub length: u32,
}

impl FrameHead {
    /// Puts it into bytes: session, version, flags, channel, length, numbers little-endian.
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..16].copy_from_slice(&self.session.0);
        bytes[16..18].copy_from_slice(&VERSION.to_le_bytes());
        bytes[18] = u8::from(self.more);
        bytes[19..23].copy_from_slice(&self.channel.0.to_le_bytes());
        bytes[23..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8; HEADER]) -> Result<Self, FrameError> {
        let (session, rest) = bytes.split_first_chunk::<16>().ok_or(FrameError::Garbled)?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(FrameError::Garbled)?;
        let theirs = u16::from_le_bytes(*version);
        if theirs != VERSION {
            return Err(FrameError::Version { theirs });
        }
        let (flags, rest) = rest.split_first_chunk::<1>().ok_or(FrameError::Garbled)?;
        let (channel, rest) = rest.split_first_chunk::<4>().ok_or(FrameError::Garbled)?;
        let (length, _) = rest.split_first_chunk::<4>().ok_or(FrameError::Garbled)?;
        let length = u32::from_le_bytes(*length);
        if length as usize > MAX_PAYLOAD {
            return Err(FrameError::TooLong { length: length as usize });
        }
        let channel = Channel(u32::from_le_bytes(*channel));
        Ok(Self { session: Session(*session), channel, more: flags[0] != 0, length })
    }
}

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
        if head.channel != Channel::CONTROL {
            return Ok(Some(Event::Output { channel: head.channel, bytes, ends_frame }));
        }
        if self.control.len() + bytes.len() > MAX_MESSAGE {
            return Err(FrameError::TooLong { length: self.control.len() + bytes.len() });
        }
        self.control.extend_from_slice(&bytes);
        if !ends_frame || head.more {
            return Ok(None);
        }
        let message = std::mem::take(&mut self.control);
        Ok(Some(Event::Answer(decode_answer(&message)?)))
    }
}
