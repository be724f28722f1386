//! Bytes of one direction of a tunnel between who receives them for it and who consumes them, on either
//! side of the attach. It holds no more than a window, and starts no task.

use std::future::poll_fn;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::protocol::TUNNEL_WINDOW;

/// Received and not yet consumed.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: BytesMut,
    ended: bool,
    broken: bool,
    reader: Option<Waker>,
}

impl Inbox {
    /// Takes bytes in; `false` where the sender had no credit for them, and the tunnel has to break.
    pub(super) fn push(&self, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        if state.broken {
            return true; // whoever wanted them is gone
        }
        if state.bytes.len() + bytes.len() > TUNNEL_WINDOW || state.ended {
            return false;
        }
        state.bytes.extend_from_slice(bytes);
        state.wake();
        true
    }

    /// No more bytes come.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.wake();
    }

    /// The connection is gone: what was not consumed is thrown away.
    pub(super) fn break_off(&self) {
        let mut state = self.lock();
        (state.broken, state.bytes) = (true, BytesMut::new());
        state.wake();
    }

    /// Up to `most` bytes; none at the end.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) async fn take(&self, most: usize) -> io::Result<Bytes> {
        poll_fn(|context| self.poll_take(context, most)).await
    }

    /// The same, for one reader at a time.
    pub(super) fn poll_take(
        &self,
        context: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<Bytes>> {
        let mut state = self.lock();
        if state.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if state.bytes.is_empty() && !state.ended {
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = state.bytes.len().min(most);
        Poll::Ready(Ok(state.bytes.split_to(length).freeze()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
