//! The wire from the agent to its drivers: frames, each for one session. Pure: it holds no descriptor
//! and never blocks; whoever reads or writes calls it.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::protocol::{Answer, FIRST_TUNNEL, Session, VERSION};

mod reader;

pub use reader::{Event, FrameReader};

/// Most payload bytes in one frame from the agent.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Most bytes of one message in either direction, as coded.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Bytes before each frame's payload.
pub const HEADER: usize = 16 + 2 + 1 + 4 + 4;

/// Which stream inside the attach a frame belongs to. Tunnels begin at [`FIRST_TUNNEL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Channel(pub u32);

impl Channel {
    /// Answers of the agent.
    pub const CONTROL: Self = Self(0);
    /// Standard output of the stage.
    pub const STDOUT: Self = Self(1);
    /// Standard error of the stage.
    pub const STDERR: Self = Self(2);

    /// Whether it is a tunnel's.
    pub fn is_tunnel(self) -> bool {
        self.0 >= FIRST_TUNNEL
    }
}

/// What a frame is within its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Bytes; for control, the last of a message.
    Whole,
    /// A control message goes on in the next control frame of this session.
    More,
    /// A tunnel begins.
    Open,
    /// No more bytes come from this tunnel.
    End,
}

impl FrameKind {
    fn of(flag: u8) -> Result<Self, FrameError> {
        let all = [Self::Whole, Self::More, Self::Open, Self::End];
        all.into_iter().find(|kind| *kind as u8 == flag).ok_or(FrameError::Garbled)
    }
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
    /// What it is there.
    pub kind: FrameKind,
    /// Bytes of payload.
    pub length: u32,
}

impl FrameHead {
    /// Puts it into bytes: session, version, kind, channel, length, numbers little-endian.
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..16].copy_from_slice(&self.session.0);
        bytes[16..18].copy_from_slice(&VERSION.to_le_bytes());
        bytes[18] = self.kind as u8;
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
        let (kind, rest) = rest.split_first().ok_or(FrameError::Garbled)?;
        let (channel, rest) = rest.split_first_chunk::<4>().ok_or(FrameError::Garbled)?;
        let (length, _) = rest.split_first_chunk::<4>().ok_or(FrameError::Garbled)?;
        let length = u32::from_le_bytes(*length);
        if length as usize > MAX_PAYLOAD {
            return Err(FrameError::TooLong { length: length as usize });
        }
        let channel = Channel(u32::from_le_bytes(*channel));
        Ok(Self { session: Session(*session), channel, kind: FrameKind::of(*kind)?, length })
    }
}
