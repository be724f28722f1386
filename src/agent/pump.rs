//! From a stage's pipe through the masker into its outflow. It knows neither sessions nor processes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::frame::{Channel, MAX_PAYLOAD};
use super::outflow::Outflow;
use super::pause::Loudness;
use crate::secrets::{MaskSet, Masker};

/// How long an empty pipe is read on after all of the stage was killed: another uid or namespace may
/// hold its other end.
const LINGER: Duration = Duration::from_secs(2);

/// One of a stage's two pipes.
pub(super) struct Pump {
    pub(super) channel: Channel,
    pub(super) pipe: pipe::Receiver,
    pub(super) masker: Masker,
    /// What the masker masks, as it grows.
    pub(super) masks: watch::Receiver<MaskSet>,
    pub(super) outflow: Arc<Outflow>,
    /// Turns true once nothing of the stage is left.
    pub(super) swept: watch::Receiver<bool>,
}

impl Pump {
    /// Runs until the pipe's end, or until nobody wants the rest.
    pub(super) async fn run(mut self) {
        let mut raw = BytesMut::with_capacity(MAX_PAYLOAD);
        let mut masked = Vec::new();
        let mut loudness = Loudness::default();
        while self.outflow.room().await && self.read(&mut raw).await.is_some() {
            let length = raw.len();
            // Nothing may be awaited between reading and this: a script that was told that a value is
            // masked writes it next.
            if self.masks.has_changed().unwrap_or_default() {
                self.masker.switch(&self.masks.borrow_and_update());
            }
            // A frame is kept until acknowledged: a short one must not hold a long buffer.
            if length < MAX_PAYLOAD / 2 {
                self.masker.push(&raw, &mut masked);
                raw.clear();
                self.forward(&mut masked);
            } else {
                let full = std::mem::replace(&mut raw, BytesMut::with_capacity(MAX_PAYLOAD));
                let (outflow, channel) = (&self.outflow, self.channel);
                self.masker.pass(full.freeze(), |clean| outflow.push(channel, clean));
            }
            if length < MAX_PAYLOAD {
                loudness.pause();
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::agent::outflow::{Audience, Parcel};
    use crate::agent::protocol::Session;

    const CHUNKS: usize = 1000;

    /// Writes like `head` and many others: a page at a time, with a little work between.
    fn loud(mut pipe: std::io::PipeWriter) {
        for _ in 0..CHUNKS {
            pipe.write_all(&[b'x'; 4096]).unwrap();
            let written = std::time::Instant::now();
            while written.elapsed() < Duration::from_micros(30) {
                std::hint::spin_loop();
            }
        }
    }

    #[tokio::test]
    async fn a_loud_program_s_pages_travel_together() {
        let (reader, writer) = std::io::pipe().unwrap();
        let program = std::thread::spawn(move || loud(writer));
        let audience = Audience { session: Session([0; 16]), request: 1 };
        let outflow = Arc::new(Outflow::new(audience));
        let (_stage, swept) = watch::channel(false);
        let pump = Pump {
            channel: Channel::STDOUT,
            pipe: pipe::Receiver::from_owned_fd(reader.into()).unwrap(),
            masker: Masker::new(&MaskSet::new(Vec::new())),
            masks: watch::channel(MaskSet::new(Vec::new())).1,
            outflow: Arc::clone(&outflow),
            swept,
        };
        let (mut frames, mut bytes) = (0, 0);
        let reading = async {
            while bytes < CHUNKS * 4096 {
                if let (_, Parcel::Output(_, part)) = outflow.next().await {
                    frames += 1;
                    bytes += part.len();
                    outflow.acknowledge(frames);
                }
            }
        };
        tokio::join!(pump.run(), reading);
        program.join().unwrap();
        assert!(frames < CHUNKS as u64 / 2, "{frames} frames for {CHUNKS} pages");
    }
}
