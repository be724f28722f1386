//! From a stage's pipe through the masker into its outflow. It knows neither sessions nor processes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
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
        let mut raw = BytesMut::with_capacity(MAX_PAYLOAD);
        let mut masked = Vec::new();
        while self.outflow.room().await && self.read(&mut raw).await.is_some() {
            // A frame is kept until acknowledged: a short one must not hold a long buffer.
            if raw.len() < MAX_PAYLOAD / 2 {
                self.masker.push(&raw, &mut masked);
                raw.clear();
                self.forward(&mut masked);
            } else {
                let full = std::mem::replace(&mut raw, BytesMut::with_capacity(MAX_PAYLOAD));
                self.outflow.push(self.channel, self.masker.pass(full.freeze()));
            }
        }
        self.masker.finish(&mut masked);
        self.forward(&mut masked);
    }

    /// `None` at the end; a read error counts as one.
    async fn read(&mut self, raw: &mut BytesMut) -> Option<usize> {
        tokio::select! {
            biased;
            read = self.pipe.read_buf(raw) => read.ok().filter(|length| *length > 0),
            () = self.outflow.abandoned() => None,
            () = linger(&mut self.swept) => None,
        }
    }

    fn forward(&self, masked: &mut Vec<u8>) {
        self.outflow.push(self.channel, Bytes::copy_from_slice(masked));
        masked.clear();
    }
}

async fn linger(swept: &mut watch::Receiver<bool>) {
    // An error means that the supervisor is gone, and with it the stage.
    let _ = swept.wait_for(|swept| *swept).await;
    tokio::time::sleep(LINGER).await;
}
