//! Carries connections to the job's Docker socket to the driver, while a user stage runs. It knows
//! nothing of what they say: whoever runs the stage answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::frame::Channel;
use super::outflow::{Audience, Outflow};
use super::protocol::{FIRST_TUNNEL, TUNNELS, ToAgent};
use super::socket::Socket;
use super::wire::Frame;
use carry::{Ends, Far, carry};

mod carry;

/// Where what tunnels have to say goes.
#[derive(Clone)]
pub(super) struct Outlets {
    pub(super) answers: mpsc::UnboundedSender<Frame>,
    pub(super) output: mpsc::Sender<Frame>,
}

/// Numbers of tunnels: none is used twice in a container's life.
pub(super) struct Numbers(AtomicU32);

impl Default for Numbers {
    fn default() -> Self {
        Self(AtomicU32::new(FIRST_TUNNEL))
    }
}

/// The tunnels of one stage; they and the socket go with it.
pub(super) struct Tunnels {
    open: Open,
    accepting: JoinHandle<()>,
}

type Open = Arc<Mutex<HashMap<u32, Far>>>;

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What the accepting of connections needs.
pub(super) struct Acceptance {
    pub(super) outlets: Outlets,
    pub(super) numbers: Arc<Numbers>,
    /// The stage's: its driver is the tunnels' driver.
    pub(super) outflow: Arc<Outflow>,
}

impl Tunnels {
    /// Accepts connections from now on.
    pub(super) fn accept(socket: Socket, with: Acceptance) -> Self {
        let open = Open::default();
        let accepting = tokio::spawn(accept(socket, with, Arc::clone(&open)));
        Self { open, accepting }
    }

    /// Ends all of them; returns once nothing listens any more.
    pub(super) async fn close(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await; // its socket and its connections go with it
    }

    /// Passes on what the driver said; of a tunnel that is gone, it may not have heard yet.
    pub(super) fn tell(&self, channel: u32, message: ToAgent) {
        if let Some(far) = lock(&self.open).get(&channel) {
            far.tell(message);
        }
    }

    /// Breaks all connections: the attach they went over is lost, and with it some of their bytes.
    pub(super) fn break_off(&self) {
        lock(&self.open).values().for_each(Far::break_off);
    }
}

fn lock(open: &Open) -> MutexGuard<'_, HashMap<u32, Far>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts while there is room; with its end all tunnels end, as they are its tasks, and the socket goes.
async fn accept(socket: Socket, with: Acceptance, open: Open) {
    let room = Arc::new(Semaphore::new(TUNNELS));
    let mut carried = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while carried.try_join_next().is_some() {}
        let Ok((stream, _)) = socket.listener.accept().await else {
            // Out of descriptors; one comes back with each connection that ends.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let channel = with.numbers.0.fetch_add(1, Ordering::Relaxed);
        let to = Audience { request: 0, ..with.outflow.audience() };
        let (far, ends) = Ends::new(Channel(channel), to, with.outlets.clone());
        lock(&open).insert(channel, far);
        let open = Arc::clone(&open);
        carried.spawn(async move {
            carry(stream, ends).await;
            lock(&open).remove(&channel);
            drop(permit);
        });
    }
}
