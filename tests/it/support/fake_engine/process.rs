//! The process in a stand-in container: its pipes, and the daemon's copying between them and all who are
//! attached. As with the real daemon, standard input never ends, output that nobody listens to is lost,
//! everyone attached gets a copy, and a listener who does not read holds the process up.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex as StdMutex};

use bytes::Bytes;
use longshore::engine::{Attached, EngineError, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, JoinSet};

/// What a Linux pipe holds.
const PIPE_BYTES: usize = 64 * 1024;
/// Pieces on the way to one listener before the process is held up.
const UNREAD_PIECES: usize = 16;

/// The process's ends of its pipes, of which each is used one way; a dropped end closes the pipe.
pub(crate) struct Pipes {
    pub(crate) stdin: DuplexStream,
    pub(crate) stdout: DuplexStream,
    pub(crate) stderr: DuplexStream,
}

/// A process as a future that ends with its exit code.
pub(crate) type Process = Pin<Box<dyn Future<Output = i64> + Send>>;

type Listeners = Arc<StdMutex<Vec<mpsc::Sender<Output>>>>;

/// The daemon's side of a container's streams, from its creation on: one may attach before it starts.
pub(crate) struct Console {
    to_stdin: Arc<Mutex<DuplexStream>>,
    stdin: Option<DuplexStream>,
    listeners: Listeners,
}

impl Console {
    pub(crate) fn new() -> Self {
        let (stdin, to_stdin) = duplex(PIPE_BYTES);
        let to_stdin = Arc::new(Mutex::new(to_stdin));
        Self { to_stdin, stdin: Some(stdin), listeners: Arc::default() }
    }

    /// One more listener and speaker.
    pub(crate) fn attach(&self) -> Attached {
        let (mut typed, input) = duplex(PIPE_BYTES);
        let stdin = Arc::clone(&self.to_stdin);
        tokio::spawn(async move {
            let mut piece = vec![0; PIPE_BYTES];
            while let Ok(count @ 1..) = typed.read(&mut piece).await {
                if stdin.lock().await.write_all(&piece[..count]).await.is_err() {
                    break;
                }
            }
        });
        Attached { output: stream(listen(&self.listeners)), input: Box::pin(input) }
    }

    /// Runs the container's process.
    pub(crate) fn begin(&mut self, start: impl FnOnce(Pipes) -> Process) -> Running {
        let stdin = self.stdin.take().expect("contract: a container was started twice");
        let (from_stdout, stdout) = duplex(PIPE_BYTES);
        let (from_stderr, stderr) = duplex(PIPE_BYTES);
        let process = start(Pipes { stdin, stdout, stderr });
        let exit = Arc::new(StdMutex::new(None));
        let (told, heard) = (Arc::clone(&exit), Arc::clone(&self.listeners));
        let task = async move {
            let mut pumps = JoinSet::new();
            pumps.spawn(pump(from_stdout, Output::Stdout, Arc::clone(&heard)));
            pumps.spawn(pump(from_stderr, Output::Stderr, Arc::clone(&heard)));
            let code = process.await;
            // Its pipes are closed now, so the pumps come to their ends when all is told.
            pumps.join_all().await;
            told.lock().unwrap().get_or_insert(code);
            heard.lock().unwrap().clear();
        };
        let listeners = Arc::clone(&self.listeners);
        Running { listeners, exit, process: tokio::spawn(task).abort_handle() }
    }
}

/// A container's process, running or ended.
pub(crate) struct Running {
    listeners: Listeners,
    exit: Arc<StdMutex<Option<i64>>>,
    process: AbortHandle,
}

impl Running {
    /// The exit code, once it has ended.
    pub(crate) fn exit_code(&self) -> Option<i64> {
        *self.exit.lock().unwrap()
    }

    /// Ends it as SIGKILL does; all who are attached see the end of the stream.
    pub(crate) fn kill(&self) {
        self.process.abort();
        self.exit.lock().unwrap().get_or_insert(137);
        self.listeners.lock().unwrap().clear();
    }
}

/// Adds a listener.
fn listen(listeners: &Listeners) -> mpsc::Receiver<Output> {
    let (sender, receiver) = mpsc::channel(UNREAD_PIECES);
    listeners.lock().unwrap().push(sender);
    receiver
}

fn stream(
    output: mpsc::Receiver<Output>,
) -> Pin<Box<dyn futures_util::Stream<Item = Result<Output, EngineError>>>> {
    Box::pin(futures_util::stream::unfold(output, |mut output| async move {
        output.recv().await.map(|piece| (Ok(piece), output))
    }))
}

/// Copies one output of the process to whoever listens at that moment.
async fn pump(mut from: DuplexStream, wrap: fn(Bytes) -> Output, listeners: Listeners) {
    let mut piece = vec![0; PIPE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        let current = listeners.lock().unwrap().clone();
        for listener in current {
            // An error here is a listener that hung up.
            let _gone = listener.send(wrap(Bytes::copy_from_slice(&piece[..count]))).await;
        }
        listeners.lock().unwrap().retain(|listener| !listener.is_closed());
    }
}

/// `cat`: what comes in goes out, for ever.
pub(crate) fn cat(mut pipes: Pipes) -> Process {
    Box::pin(async move {
        let copied = copy(&mut pipes.stdin, &mut pipes.stdout).await;
        i64::from(copied.is_err())
    })
}

/// `true`: ends at once and well.
pub(crate) fn ends(code: i64) -> Process {
    Box::pin(async move { code })
}
