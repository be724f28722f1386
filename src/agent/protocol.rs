//! What driver and agent say to each other, and how it is framed. Pure: bytes in, messages out.
//!
//! Towards the agent: each message is postcard, COBS-coded, ended by a zero byte; an attach begins with
//! a zero byte, so that half a message left by a killed driver is thrown away. From the agent: the
//! driver skips everything up to its own 16-byte session id (the hello), from there on frames are
//! length-prefixed. The daemon copies output to everyone attached, so each frame names its session.

use serde::{Deserialize, Serialize};

/// Version of this protocol; driver and agent come from one binary, so they must be equal.
pub const VERSION: u16 = 1;

/// A random id of one attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session(pub [u8; 16]);
