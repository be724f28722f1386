//! Writes to what no event loop can wait for, files and terminals, from a thread of its own.

use std::io::{self, IoSlice, Write};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::Channel;

/// Chunks under way to the thread; with the daemon's chunks of 32 KiB at most 2 MiB.
const QUEUE: usize = 64;

/// The thread, and the queue to it.
pub(super) struct Writer {
    queue: mpsc::Sender<(Channel, Bytes)>,
    thread: JoinHandle<()>,
    broken: Mutex<oneshot::Receiver<io::Error>>,
}

impl Writer {
    /// Starts the thread that writes to these two.
    pub(super) fn start(
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Self {
        let (queue, chunks) = mpsc::channel(QUEUE);
        let (report, broken) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            if let Err(error) = drain(chunks, stdout, stderr) {
                drop(report.send(error));
            }
        });
        Self { queue, thread, broken: Mutex::new(broken) }
    }

    /// Hands bytes over, waiting while the runner does not take them.
    ///
    /// # Errors
    /// When the reader has gone away (a broken pipe).
    pub(super) async fn write(&self, channel: Channel, bytes: Bytes) -> io::Result<()> {
        self.queue.send((channel, bytes)).await.map_err(|_| self.reason().unwrap_or_else(gone))
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// When the reader has gone away before.
    pub(super) fn finish(self) -> io::Result<()> {
        let Self { queue, thread, broken } = self;
        drop(queue);
        thread.join().map_err(|_| gone())?;
        reason(&broken).map_or(Ok(()), Err)
    }

    fn reason(&self) -> Option<io::Error> {
        reason(&self.broken)
    }
}

/// Why the thread gave up, where it did.
fn reason(broken: &Mutex<oneshot::Receiver<io::Error>>) -> Option<io::Error> {
    broken.lock().unwrap_or_else(PoisonError::into_inner).try_recv().ok()
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the runner closed the job log")
}

fn drain(
    mut chunks: mpsc::Receiver<(Channel, Bytes)>,
    mut stdout: impl Write,
    mut stderr: impl Write,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(QUEUE);
    while chunks.blocking_recv_many(&mut batch, QUEUE) > 0 {
        // The order between the two streams is what a reader of the log sees.
        for run in batch.chunk_by(|one, next| one.0 == next.0) {
            match run[0].0 {
                Channel::Stdout => write_run(&mut stdout, run)?,
                Channel::Stderr => write_run(&mut stderr, run)?,
            }
        }
        batch.clear();
        if chunks.is_empty() {
            stdout.flush()?;
        }
    }
    stdout.flush()
}

/// Writes chunks of one stream with as few system calls as the reader allows.
fn write_run(out: &mut impl Write, run: &[(Channel, Bytes)]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = run.iter().map(|(_, bytes)| IoSlice::new(bytes)).collect();
    let mut slices = slices.as_mut_slice();
    IoSlice::advance_slices(&mut slices, 0); // drops empty ones at the front
    while !slices.is_empty() {
        match out.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
