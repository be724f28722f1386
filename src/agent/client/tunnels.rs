//! The driver's ends of tunnels: byte streams to whoever serves the job's Docker clients. It keeps
//! windows and nothing else; what the bytes say is none of its business.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::super::frame::{Channel, Event, MAX_PAYLOAD};
use super::super::inbox::Inbox;
use super::super::protocol::{
    Answer, Reply, TUNNEL_CREDIT, TUNNEL_WINDOW, TUNNELS, ToAgent, ToDriver,
};

/// A message to a tunnel's other end.
type Message = (Channel, ToAgent);

/// All tunnels of one attach. They break with it.
pub(super) struct Hub {
    open: HashMap<Channel, Arc<Shared>>,
    acceptor: Option<mpsc::UnboundedSender<Tunnel>>,
    sender: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
}

/// What a tunnel and its hub share.
struct Shared {
    inbox: Inbox,
    outgoing: Mutex<Outgoing>,
}

/// The direction towards the client.
struct Outgoing {
    credit: usize,
    broken: bool,
    writer: Option<Waker>,
}

impl Hub {
    /// Refuses all tunnels until somebody accepts them.
    pub(super) fn new() -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        Self { open: HashMap::new(), acceptor: None, sender, messages }
    }

    /// Hands tunnels over from now on.
    pub(super) fn accept(&mut self, acceptor: mpsc::UnboundedSender<Tunnel>) {
        self.acceptor = Some(acceptor);
    }

    pub(super) fn acceptor(&self) -> Option<mpsc::UnboundedSender<Tunnel>> {
        self.acceptor.clone()
    }

    /// The next message to send; waits for one. All that wait are bounded by the windows of the tunnels.
    pub(super) async fn next_message(&mut self) -> Message {
        match self.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await, // we hold a sender ourselves
        }
    }

    /// Takes what is a tunnel's; answers what is not.
    pub(super) fn sort(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Opened(channel) => self.open(channel),
            Event::Tunnelled { channel, bytes } => self.data(channel, &bytes),
            Event::Ended(channel) => self.end(channel),
            Event::Answer(Answer { reply: Reply::Tunnel { channel, message }, .. }) => {
                self.hear(Channel(channel), message);
            }
            other => return Some(other),
        }
        None
    }

    fn open(&mut self, channel: Channel) {
        self.open.retain(|_, shared| !shared.is_over());
        let shared = Arc::new(Shared::new());
        let tunnel = Tunnel {
            channel,
            shared: Arc::clone(&shared),
            sender: self.sender.clone(),
            consumed: 0,
            read_to_end: false,
            shut_down: false,
        };
        // The agent opens no more than that; whoever else writes its frames gets no more either.
        let room = self.open.len() < TUNNELS * 2 && !self.open.contains_key(&channel);
        if let (Some(acceptor), true) = (&self.acceptor, room) {
            self.open.insert(channel, shared);
            // Nobody takes it: its drop says so.
            let _ = acceptor.send(tunnel);
        }
    }

    fn data(&mut self, channel: Channel, bytes: &[u8]) {
        let Some(shared) = self.open.get(&channel) else { return };
        if !shared.inbox.push(bytes) {
            shared.break_off();
            self.open.remove(&channel);
            let _ = self.sender.send((channel, ToAgent::Reset)); // we hold the receiver
        }
    }

    fn end(&mut self, channel: Channel) {
        if let Some(shared) = self.open.get(&channel) {
            shared.inbox.end();
        }
    }

    fn hear(&mut self, channel: Channel, message: ToDriver) {
        let Some(shared) = self.open.get(&channel) else { return };
        match message {
            ToDriver::Credit(bytes) => shared.grant(bytes as usize),
            ToDriver::Reset => {
                shared.break_off();
                self.open.remove(&channel);
            }
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.open.values().for_each(|shared| shared.break_off());
    }
}

impl Shared {
    fn new() -> Self {
        let outgoing = Outgoing { credit: TUNNEL_WINDOW, broken: false, writer: None };
        Self { inbox: Inbox::default(), outgoing: Mutex::new(outgoing) }
    }

    fn grant(&self, bytes: usize) {
        let mut outgoing = self.outgoing();
        outgoing.credit = TUNNEL_WINDOW.min(outgoing.credit.saturating_add(bytes));
        outgoing.wake();
    }

    fn break_off(&self) {
        self.inbox.break_off();
        let mut outgoing = self.outgoing();
        outgoing.broken = true;
        outgoing.wake();
    }

    /// Broken, or let go by its tunnel.
    fn is_over(&self) -> bool {
        self.outgoing().broken
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgoing {
    fn wake(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

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
