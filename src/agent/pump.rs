//! From a stage's pipe through the masker into its outflow. It knows neither sessions nor processes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::frame::{Channel, MAX_PAYLOAD};
use super::outflow::Outflow;
use crate::secrets::Masker;

/// How long an empty pipe is read on after all of the stage was killed: another uid or namespace may
/// hold its other end.
const LINGER: Duration = Duration::from_secs(2);

/// One of a stage's two pipes.
pub(super) struct Pump {
    pub(super) channel: Channel,
    pub(super) pipe: pipe::Receiver,
    pub(super) masker: Masker,
    pub(super) outflow: Arc<Outflow>,
    /// Turns true once nothing of the stage is left.
    pub(super) swept: watch::Receiver<bool>,
}

impl Pump {
    /// Runs until the pipe's end, or until nobody wants the rest.
    pub(super) async fn run(mut self) {
        let mut raw = vec![0; MAX_PAYLOAD];
        let mut masked = Vec::with_capacity(MAX_PAYLOAD);
        while self.outflow.room().await {
            let Some(length) = self.read(&mut raw).await else {
                break;
            };
            self.masker.push(&raw[..length], &mut masked);
            self.forward(&mut masked);
        }
        self.masker.finish(&mut masked);
        self.forward(&mut masked);
    }

    /// `None` at the end; a read error counts as one.
    async fn read(&mut self, raw: &mut [u8]) -> Option<usize> {
        tokio::select! {
            biased;
            read = self.pipe.read(raw) => read.ok().filter(|length| *length > 0),
            () = self.outflow.abandoned() => None,
            () = linger(&mut self.swept) => None,
        }
    }

    fn forward(&self, masked: &mut Vec<u8>) {
        // A frame is kept until acknowledged: a short one must not hold a long buffer.
        let bytes = if masked.len() < MAX_PAYLOAD / 2 {
            let copy = Bytes::copy_from_slice(masked);
            masked.clear();
            copy
        } else {
            Bytes::from(std::mem::replace(masked, Vec::with_capacity(MAX_PAYLOAD)))
        };
        self.outflow.push(self.channel, bytes);
    }
}

async fn linger(swept: &mut watch::Receiver<bool>) {
    // An error means that the supervisor is gone, and with it the stage.
    let _ = swept.wait_for(|swept| *swept).await;
    tokio::time::sleep(LINGER).await;
}
