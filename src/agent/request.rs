//! The wire from a driver to the agent: messages, each ended by a zero byte. Pure: it holds no
//! descriptor and never blocks; whoever reads or writes calls it.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::frame::{FrameError, MAX_MESSAGE, encode};
use super::protocol::{Session, VERSION, Verb};

/// What each attach begins with. A killed driver may have left any part of a message, even all of it
/// but the ending zero: the 0xFF promises 254 bytes that do not come, which spoils whatever it ends,
/// and where it is taken for the last byte of a message instead, [`SEAL`] tells.
pub const ATTACH: [u8; 2] = [0xff, 0x00];

/// The last byte of each message; anything but 0x00 and 0xFF.
const SEAL: u8 = 0x2a;

/// The outer shape of each message towards the agent; the same in all versions.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    session: Session,
    version: u16,
    request: u32,
    verb: &'a [u8],
    seal: u8,
}

/// One message as the agent receives it.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// The attach it came over.
    pub session: Session,
    /// Its number within the session.
    pub number: u32,
    /// What is asked; `None` where the driver speaks another version.
    pub verb: Option<Verb>,
}

/// Codes a message towards the agent, ending zero included.
///
/// # Errors
/// [`FrameError::TooLong`] for a message above [`MAX_MESSAGE`].
pub fn encode_request(
    session: Session,
    number: u32,
    verb: &Verb,
) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let inner = encode(verb)?;
    let envelope =
        Envelope { session, version: VERSION, request: number, verb: &inner, seal: SEAL };
    let plain = inner.len() + 64;
    // COBS adds a byte for each 254, and the zero. One buffer of that size: growing would leave copies.
    let mut coded = Zeroizing::new(vec![0; plain + plain / 254 + 2]);
    let used =
        postcard::to_slice_cobs(&envelope, &mut coded).map_err(|_| FrameError::Garbled)?.len();
    coded.truncate(used);
    if used > MAX_MESSAGE {
        return Err(FrameError::TooLong { length: used });
    }
    Ok(coded)
}

/// Cuts the agent's input into messages. What is no message (half of one, or rubbish) is thrown away
/// up to the next zero.
#[derive(Default)]
pub struct RequestReader {
    pending: Zeroizing<Vec<u8>>,
    overlong: bool,
}

impl RequestReader {
    /// Starts at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and hands each message that is complete to `deliver`.
    pub fn push(&mut self, mut input: &[u8], mut deliver: impl FnMut(Request)) {
        while let Some(end) = input.iter().position(|byte| *byte == 0) {
            self.keep(&input[..end]);
            input = &input[end + 1..];
            let mut coded = std::mem::take(&mut self.pending);
            if !std::mem::take(&mut self.overlong)
                && let Some(request) = decode_request(&mut coded)
            {
                deliver(request);
            }
        }
        self.keep(input);
    }

    fn keep(&mut self, part: &[u8]) {
        let length = self.pending.len() + part.len();
        if self.overlong || length > MAX_MESSAGE {
            self.overlong = true;
            self.pending = Zeroizing::default();
            return;
        }
        if length > self.pending.capacity() {
            // Moved by hand: `Vec` would free the old block with secrets in it.
            let mut grown = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            grown.extend_from_slice(&self.pending);
            self.pending = grown;
        }
        self.pending.extend_from_slice(part);
    }
}

fn decode_request(coded: &mut [u8]) -> Option<Request> {
    if coded.is_empty() {
        return None;
    }
    let envelope: Envelope<'_> = postcard::from_bytes_cobs(coded).ok()?;
    if envelope.seal != SEAL {
        return None;
    }
    let verb = match envelope.version {
        VERSION => Some(postcard::from_bytes(envelope.verb).ok()?),
        _ => None,
    };
    Some(Request { session: envelope.session, number: envelope.request, verb })
}
