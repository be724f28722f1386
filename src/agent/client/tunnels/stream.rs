//! One tunnel as a byte stream, for whoever serves the job's Docker clients: credit, ends, and what its drop
//! says to the other end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::{Message, Shared};
use crate::agent::frame::{Channel, MAX_PAYLOAD};
use crate::agent::protocol::{TUNNEL_CREDIT, ToAgent};

/// One Docker client's connection. Shutting it down ends our direction only; its drop closes it once the
/// client has all that was written, or breaks it where it was not shut down.
pub struct Tunnel {
    channel: Channel,
    shared: Arc<Shared>,
    sender: mpsc::UnboundedSender<Message>,
    /// Bytes that were consumed and not yet given back as credit.
    consumed: usize,
    read_to_end: bool,
    shut_down: bool,
}

impl Tunnel {
    pub(super) fn new(
        channel: Channel,
        shared: Arc<Shared>,
        sender: mpsc::UnboundedSender<Message>,
    ) -> Self {
        Self { channel, shared, sender, consumed: 0, read_to_end: false, shut_down: false }
    }

    fn send(&self, message: ToAgent) -> io::Result<()> {
        self.sender.send((self.channel, message)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn give_back(&mut self, bytes: usize) -> io::Result<()> {
        self.consumed += bytes;
        if self.consumed < TUNNEL_CREDIT {
            return Ok(());
        }
        let credit = u32::try_from(std::mem::take(&mut self.consumed)).map_err(io::Error::other)?;
        self.send(ToAgent::Credit(credit))
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let taken = self.shared.inbox.poll_take(context, buffer.remaining());
        let bytes = std::task::ready!(taken)?;
        buffer.put_slice(&bytes);
        self.read_to_end |= bytes.is_empty();
        Poll::Ready(self.give_back(bytes.len()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let length = {
            let mut outgoing = self.shared.outgoing();
            if outgoing.broken || self.shut_down {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if outgoing.credit == 0 {
                outgoing.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
            let length = bytes.len().min(outgoing.credit).min(MAX_PAYLOAD);
            outgoing.credit -= length;
            length
        };
        Poll::Ready(self.send(ToAgent::Data(bytes[..length].to_vec())).map(|()| length))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.shut_down, true) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.send(ToAgent::End))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let message = match (self.shut_down, self.read_to_end) {
            (true, true) => None,
            (true, false) => Some(ToAgent::Close),
            (false, _) => Some(ToAgent::Reset),
        };
        if let Some(message) = message {
            let _ = self.send(message); // the attach is gone, and the connection with it
        }
        self.shared.break_off();
    }
}
