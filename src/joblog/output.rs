//! The way of a stage's output to the runner: never waiting for it on the thread that speaks with the
//! agent, so that a stalled runner stops the stage's output (back-pressure) but neither pings nor a cancel.

use std::fs::File;
use std::io::{self, Write};

use bytes::Bytes;

mod pipes;
mod thread;

use pipes::Pipes;
use thread::Writer;

/// Which of the call's two streams bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The way out for a stage's bytes.
pub struct Output(Way);

enum Way {
    Pipes(Pipes),
    Thread(Writer),
}

impl Output {
    /// To the call's own streams: pipes, as a runner gives, are written to without a thread between;
    /// files and terminals, which no event loop can wait for, by a thread. Needs a tokio runtime.
    pub fn of_call(stdout: File, stderr: File) -> Self {
        match Pipes::open(&stdout, &stderr) {
            Ok(pipes) => Self(Way::Pipes(pipes)),
            Err(_not_both_pipes) => Self::start(stdout, stderr),
        }
    }

    /// Starts a thread that writes to these two.
    pub fn start(stdout: impl Write + Send + 'static, stderr: impl Write + Send + 'static) -> Self {
        Self(Way::Thread(Writer::start(stdout, stderr)))
    }

    /// Hands bytes over as a whole, waiting while the runner does not take them.
    ///
    /// # Errors
    /// When the reader has gone away (a broken pipe).
    pub async fn write(&self, channel: Channel, bytes: Bytes) -> io::Result<()> {
        match &self.0 {
            Way::Pipes(pipes) => pipes.write(channel, &bytes).await,
            Way::Thread(writer) => writer.write(channel, bytes).await,
        }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// When the reader has gone away before.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            Way::Pipes(_) => Ok(()),
            Way::Thread(writer) => writer.finish(),
        }
    }
}
