//! Packs the files of an archive on all cores: cut into blocks, each packed on its own, handed back in
//! order. It knows nothing of the archive they go into, and holds few blocks in memory at a time.

use super::super::error::TransferError;
use super::compress::{Compression, Packed};
use super::source::{self, Entry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};

/// Threads beyond this gain nothing: disk or network is slower.
const MOST_WORKERS: usize = 8;
/// Enough for what the packers keep on it.
const STACK: usize = 512 * 1024;

/// One step of the archive, in order.
#[derive(Debug)]
pub(super) enum Step {
    /// An entry begins; a regular file's blocks follow.
    Entry(Entry),
    /// A block of the file that began last.
    Block(Packed),
    /// The file that began last has no more.
    End,
    /// Something was left out.
    Note(String),
}

/// A block on its way to a worker, and where its result goes.
struct Task {
    bytes: Vec<u8>,
    last: bool,
    done: SyncSender<io::Result<Packed>>,
}

/// A step that may still be worked on.
#[derive(Debug)]
enum Coming {
    Ready(Step),
    Packing(Receiver<io::Result<Packed>>),
}

/// The steps of an archive as they become ready.
#[derive(Debug)]
pub(super) struct Steps {
    coming: Receiver<Coming>,
}

impl Iterator for Steps {
    type Item = Result<Step, TransferError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.coming.recv().ok()? {
            Coming::Ready(step) => Some(Ok(step)),
            Coming::Packing(done) => {
                let packed = done.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
                Some(packed.map(Step::Block).map_err(|source| TransferError::Archive { source }))
            }
        }
    }
}

/// Walks through files, packs them on all cores and lets `write` have the steps.
///
/// # Errors
/// When a file cannot be read or packed, or `write` fails; it ends at the first.
pub(super) fn pack_each<T>(
    project: &Path,
    paths: &[PathBuf],
    compression: Compression,
    write: impl FnOnce(&mut Steps) -> Result<T, TransferError>,
) -> Result<T, TransferError> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    let (tasks, taken) = sync_channel::<Task>(workers);
    let (order, coming) = sync_channel::<Coming>(2 * workers);
    let taken = Mutex::new(taken);
    let thread = || Builder::new().name("pack".into()).stack_size(STACK);
    let failed = |source| TransferError::Archive { source };
    thread::scope(|scope| {
        for _ in 0..workers {
            let spawned = thread().spawn_scoped(scope, || work(&taken, compression));
            spawned.map_err(failed)?;
        }
        let lines = Lines { tasks, order };
        let reader = thread().spawn_scoped(scope, move || read(project, paths, &lines));
        let reader = reader.map_err(failed)?;
        let mut steps = Steps { coming };
        let written = write(&mut steps);
        // The reader stops when nobody takes its steps any more.
        drop(steps);
        let read = reader.join().unwrap_or_else(|_| Err(failed(io::ErrorKind::Other.into())));
        // A reader that failed leaves the writer without its last steps: its failure is the cause.
        read.and(written)
    })
}

/// Where the reader's blocks and steps go.
struct Lines {
    tasks: SyncSender<Task>,
    order: SyncSender<Coming>,
}

/// Nobody takes steps any more; whoever stopped tells why.
struct Closed;

impl Lines {
    fn step(&self, step: Step) -> Result<(), Closed> {
        self.order.send(Coming::Ready(step)).map_err(|_| Closed)
    }

    fn block(&self, bytes: Vec<u8>, last: bool) -> Result<(), Closed> {
        let (done, packed) = sync_channel(1);
        self.order.send(Coming::Packing(packed)).map_err(|_| Closed)?;
        self.tasks.send(Task { bytes, last, done }).map_err(|_| Closed)
    }
}

fn read(project: &Path, paths: &[PathBuf], lines: &Lines) -> Result<(), TransferError> {
    for path in paths {
        let sent = match source::open(project, path)? {
            Ok((entry, Some(mut file))) => match lines.step(Step::Entry(entry)) {
                Ok(()) => loop {
                    let (bytes, last) = file.block()?;
                    if lines.block(bytes, last).is_err() {
                        break Err(Closed);
                    }
                    if last {
                        break lines.step(Step::End);
                    }
                },
                closed => closed,
            },
            Ok((entry, None)) => lines.step(Step::Entry(entry)),
            Err(note) => lines.step(Step::Note(note)),
        };
        if sent.is_err() {
            break;
        }
    }
    Ok(())
}

fn work(taken: &Mutex<Receiver<Task>>, compression: Compression) {
    let mut packer = compression.packer();
    loop {
        let next = taken.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = next else { return };
        // Where nobody waits for it any more, it does not matter.
        let _ = task.done.send(packer.pack(&task.bytes, task.last));
    }
}
