//! What the agent is asked to look at on its container's network. Pure.

use core::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Services to be tried, side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Which ones.
    pub targets: Vec<ProbeTarget>,
    /// How long to try; the answer comes sooner where all are ready.
    pub within: Duration,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeTarget {
    /// Its address on the job's network.
    pub address: IpAddr,
    /// What makes it ready.
    pub kind: ProbeKind,
}

/// What makes a service ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeKind {
    /// One of these ports accepts a connection.
    Tcp(Vec<u16>),
    /// A GET is answered with a status below 400.
    Http {
        /// The port.
        port: u16,
        /// The path, with its slash.
        path: String,
    },
}
