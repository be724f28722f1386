//! Hears that the runner wants a call to end (a cancel, or its time is up), so that the call ends where
//! it can and not in the middle of a request: the daemon finishes what it was asked for, and a container
//! made after `cleanup` has looked would be left behind.

use std::future::Future;
use std::io;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::CallError;

/// The runner's wish, heard from the moment this was made.
#[derive(Debug)]
pub struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the kernel lets no signal be listened to.
    pub fn watch() -> Result<Self, CallError> {
        let fail =
            |error: io::Error| CallError::system(format!("failed to watch for signals: {error}"));
        let terminate = signal(SignalKind::terminate()).map_err(fail)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
        Ok(Self { terminate, interrupt })
    }

    /// Does work that may be dropped at any point, and drops it once the call has to end.
    ///
    /// # Errors
    /// The work's own, or that the call has to end.
    pub async fn or<T>(
        &mut self,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        tokio::select! {
            done = work => done,
            () = self.asked() => Err(ended()),
        }
    }

    /// Whether the call may go on.
    ///
    /// # Errors
    /// When it has to end.
    pub fn check(&mut self) -> Result<(), CallError> {
        self.asked().now_or_never().map_or(Ok(()), |()| Err(ended()))
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn ended() -> CallError {
    CallError::system("the runner ended the preparation of this job")
}
