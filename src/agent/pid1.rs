//! The agent's process: hardens itself, starts the ends of the attach, and waits for whatever happens
//! next. What a request means is `sessions`' business.

use std::ffi::OsString;
use std::sync::Arc;

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Duration;

use super::reaper::Reaper;
use super::sessions::{Agent, Ways};
use super::tunnels::Outlets;
use super::wire;

/// Frames of output that may wait for the writer.
const QUEUE: usize = 8;

/// How long processes get between TERM and KILL when the container itself is stopped; the engine's own
/// patience is 10 s by default.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Why the agent cannot work, or stopped to.
#[derive(Debug, thiserror::Error)]
#[error("agent: cannot {verb}: {source}")]
pub struct AgentError {
    verb: &'static str,
    source: std::io::Error,
}

fn cannot(verb: &'static str) -> impl FnOnce(std::io::Error) -> AgentError {
    move |source| AgentError { verb, source }
}

/// Runs the agent on standard input and output until the container is told to stop, or, once standard
/// input has ended, until no stage runs. `environment` is what stages inherit.
///
/// # Errors
/// The kernel refuses something the agent cannot do without, or standard output broke.
pub fn run(environment: Vec<(OsString, OsString)>) -> Result<(), AgentError> {
    // Before any secret can arrive: no core file, no /proc/1/environ or /proc/1/mem for the job.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| cannot("become undumpable")(error.into()))?;
    let core = rustix::process::getrlimit(Resource::Core);
    let none = Rlimit { current: Some(0), maximum: core.maximum };
    rustix::process::setrlimit(Resource::Core, none)
        .map_err(|error| cannot("forbid core files")(error.into()))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(cannot("start its runtime"))?;
    let served = runtime.block_on(serve(environment, core));
    runtime.shutdown_background();
    served
}

async fn serve(environment: Vec<(OsString, OsString)>, core: Rlimit) -> Result<(), AgentError> {
    let reaper = Arc::new(Reaper::new().map_err(cannot("reap orphans"))?);
    let mut children = signal(SignalKind::child()).map_err(cannot("watch children"))?;
    let mut stop = signal(SignalKind::terminate()).map_err(cannot("listen to TERM"))?;
    let stdin = rustix::io::dup(rustix::stdio::stdin());
    let stdin = stdin.map_err(|error| cannot("use standard input")(error.into()))?;
    let stdout = rustix::io::dup(rustix::stdio::stdout());
    let stdout = stdout.map_err(|error| cannot("use standard output")(error.into()))?;

    let (request_sender, mut requests) = mpsc::channel(QUEUE);
    let (answers, answer_receiver) = mpsc::unbounded_channel();
    let (output, output_receiver) = mpsc::channel(QUEUE);
    let mut reading = tokio::spawn(wire::read_requests(stdin, request_sender));
    let mut writing = tokio::spawn(wire::write_frames(stdout, answer_receiver, output_receiver));
    let (additions, mut added) = mpsc::channel(1);
    let ways = Ways { outlets: Outlets { answers, output }, additions };
    let mut agent = Agent::new(environment, core, Arc::clone(&reaper), ways);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut listening = true;

    let ended = loop {
        if !listening && !agent.is_busy() {
            break Ok(());
        }
        tokio::select! {
            Some(request) = requests.recv() => agent.handle(request),
            Some(addition) = added.recv() => agent.mask(addition),
            _ = children.recv() => { reaper.reap(); }
            exit = agent.stage_exit() => agent.note_exit(exit.as_ref()),
            _ = second.tick() => agent.check_silence(),
            _ = stop.recv() => {
                agent.stop();
                break Ok(());
            }
            read = &mut reading, if listening => match flatten(read) {
                Ok(()) => listening = false,
                Err(error) => break Err(cannot("read standard input")(error)),
            },
            written = &mut writing => {
                break flatten(written).map_err(cannot("write standard output"));
            }
        }
    };
    reaper.signal(Signal::TERM);
    farewell(&reaper, &mut children).await;
    ended
}

/// Gives processes their grace, then kills what is left.
async fn farewell(reaper: &Reaper, children: &mut tokio::signal::unix::Signal) {
    let quiet = async {
        while reaper.reap() {
            children.recv().await;
        }
    };
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, quiet).await;
    reaper.sweep(SHUTDOWN_GRACE).await;
}

fn flatten(joined: Result<std::io::Result<()>, tokio::task::JoinError>) -> std::io::Result<()> {
    joined.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
