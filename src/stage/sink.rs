//! Where a stage's output goes: to the runner, with a keep-alive where the stage is silent.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use crate::agent::client::StageSink;
use crate::agent::frame;
use crate::joblog::keepalive::{KEEP_ALIVE, Position};
use crate::joblog::masks::Masks;
use crate::joblog::output::{Channel, Output};
use crate::joblog::phrase::Phrase;

/// Silence after which the runner gets a sign of life; with it a cancel arrives within seconds.
const SILENCE: Duration = Duration::from_secs(5);

/// What `sudo` says where the kernel keeps it from gaining privileges.
const SUDO: &[u8] = b"\"no new privileges\" flag is set";

/// The runner's side of a stage's output, shared by the stage and its keep-alive.
pub struct RunnerSink {
    output: Output,
    stdout: RefCell<Position>,
    stderr: RefCell<Position>,
    last: Cell<Instant>,
    sudo: RefCell<Phrase>,
    masks: Arc<Masks>,
}

impl RunnerSink {
    /// Begins with an empty line.
    pub fn new(output: Output) -> Self {
        Self {
            output,
            stdout: RefCell::default(),
            stderr: RefCell::default(),
            last: Cell::new(Instant::now()),
            sudo: RefCell::new(Phrase::new(SUDO)),
            masks: Arc::default(),
        }
    }

    /// The same, with our own lines masked; the stage's output is masked where it is made.
    #[must_use]
    pub fn masking(self, masks: Arc<Masks>) -> Self {
        Self { masks, ..self }
    }

    /// Writes an invisible keep-alive whenever nothing was written for a while; never returns.
    ///
    /// # Errors
    /// When the runner takes nothing any more.
    pub async fn keep_alive(&self) -> io::Result<std::convert::Infallible> {
        loop {
            let due = self.last.get() + SILENCE;
            sleep_until(due).await;
            if self.last.get() + SILENCE > due {
                continue;
            }
            if let Some(channel) = self.clear_channel() {
                self.output.write(channel, Bytes::from_static(KEEP_ALIVE)).await?;
            }
            self.last.set(Instant::now());
        }
    }

    /// A stream that stands at the start of a line; the runner keeps the two apart.
    fn clear_channel(&self) -> Option<Channel> {
        let clear = |position: &RefCell<Position>| position.borrow().is_clear();
        let stderr = clear(&self.stderr).then_some(Channel::Stderr);
        clear(&self.stdout).then_some(Channel::Stdout).or(stderr)
    }

    /// Whether `sudo` said that it may not gain privileges.
    pub fn has_sudo_failed(&self) -> bool {
        self.sudo.borrow().is_seen()
    }

    /// A line of our own, after the stage's output and never in the middle of its last line.
    ///
    /// # Errors
    /// When the runner takes nothing any more.
    pub async fn line(&self, text: &str) -> io::Result<()> {
        let text = self.masks.mask(text);
        let begun = !self.stdout.borrow().is_clear();
        self.stdout.borrow_mut().advance(b"\n");
        let line = if begun { format!("\n{text}\n") } else { format!("{text}\n") };
        self.output.write(Channel::Stdout, Bytes::from(line)).await
    }

    /// Whole lines of somebody else, where they cut no line of the stage's own.
    ///
    /// # Errors
    /// When the runner takes nothing any more.
    pub async fn beside(&self, lines: Bytes) -> io::Result<()> {
        self.last.set(Instant::now());
        if let Some(channel) = self.clear_channel() {
            return self.output.write(channel, lines).await;
        }
        self.stderr.borrow_mut().advance(b"\n");
        self.output.write(Channel::Stderr, Bytes::from([b"\n", &lines[..]].concat())).await
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// When the runner took nothing any more.
    pub fn finish(self) -> io::Result<()> {
        self.output.finish()
    }
}

impl StageSink for &RunnerSink {
    async fn write(&mut self, channel: frame::Channel, bytes: Bytes) -> io::Result<()> {
        let stderr = channel == frame::Channel::STDERR;
        let channel = if stderr { Channel::Stderr } else { Channel::Stdout };
        let position = if stderr { &self.stderr } else { &self.stdout };
        position.borrow_mut().advance(&bytes);
        if stderr {
            self.sudo.borrow_mut().advance(&bytes);
        }
        self.last.set(Instant::now());
        self.output.write(channel, bytes).await
    }
}
