//! Messages on their way to the agent. Writing can be dropped at any point and taken up again.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::super::request::ATTACH;

/// Messages that are written in no time: tunnels fill no more of the outbox.
const LONG: usize = 4;

/// Coded messages and the stream they go to.
pub(super) struct Outbox<W> {
    input: W,
    messages: VecDeque<Zeroizing<Vec<u8>>>,
    /// Bytes of the front message that were written.
    written: usize,
    unflushed: bool,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    /// Starts with what spoils and ends whatever half message a killed driver left.
    pub(super) fn new(input: W) -> Self {
        let messages = VecDeque::from([Zeroizing::new(ATTACH.to_vec())]);
        Self { input, messages, written: 0, unflushed: false }
    }

    pub(super) fn push(&mut self, message: Zeroizing<Vec<u8>>) {
        self.messages.push_back(message);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && !self.unflushed
    }

    /// Whether so much waits that pings and signals would wait behind it.
    pub(super) fn is_long(&self) -> bool {
        self.messages.len() >= LONG
    }

    /// Writes until the outbox is empty. Safe to drop and to call again.
    pub(super) async fn drive(&mut self) -> io::Result<()> {
        while let Some(message) = self.messages.front() {
            let length = self.input.write(&message[self.written..]).await?;
            if length == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.unflushed = true;
            self.written += length;
            if self.written == message.len() {
                self.messages.pop_front();
                self.written = 0;
            }
        }
        self.input.flush().await?;
        self.unflushed = false;
        Ok(())
    }
}
