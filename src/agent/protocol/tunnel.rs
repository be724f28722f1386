//! Connections to the job's Docker socket on their way to the driver: each a channel of its own, with
//! its own window in each direction, so that one that stalls stops neither the log nor another.

use serde::{Deserialize, Serialize};

/// The channel of a container's first tunnel; no number is used twice in its life.
pub const FIRST_TUNNEL: u32 = 16;

/// Connections at once; more wait until they are accepted.
pub const TUNNELS: usize = 32;

/// Bytes of one direction of one tunnel that may be under way and not consumed.
pub const TUNNEL_WINDOW: usize = 512 * 1024;

/// Consumed bytes that are given back at once; fewer wait for more.
pub const TUNNEL_CREDIT: usize = TUNNEL_WINDOW / 4;

/// What the driver tells a tunnel. The agent opens them, by an empty frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// Bytes for the client, of which [`TUNNEL_WINDOW`] at most are under way.
    Data(#[serde(with = "serde_bytes")] Vec<u8>),
    /// No more of them; the other direction goes on.
    End,
    /// No more of them, and no more are wanted: closes once the client has them all.
    Close,
    /// The connection breaks here.
    Reset,
    /// This many bytes from the client were consumed.
    Credit(u32),
}

/// What a tunnel tells the driver beside its data, which comes in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDriver {
    /// The connection breaks here.
    Reset,
    /// This many bytes were consumed by the client.
    Credit(u32),
}
