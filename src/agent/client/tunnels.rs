//! The driver's ends of tunnels: which are open, and what their other ends say. It keeps windows and nothing
//! else; what the bytes say is none of its business.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::mpsc;

use crate::agent::frame::{Channel, Event};
use crate::agent::inbox::Inbox;
use crate::agent::protocol::{Answer, Reply, TUNNEL_WINDOW, TUNNELS, ToAgent, ToDriver};
pub use stream::Tunnel;

mod stream;

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
        let tunnel = Tunnel::new(channel, Arc::clone(&shared), self.sender.clone());
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
