//! One call of the driver, as GitLab Runner makes it: a process group of its own, no standard input, the
//! job's directory as working directory, output passed on line by line.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use super::console::JobLines;

/// After TERM, before KILL: what `config.toml.example` has as `graceful_kill_timeout`.
const GRACE: Duration = Duration::from_mins(1);

/// After KILL, before a process that will not go is left alone.
const ABANDONED: Duration = Duration::from_secs(10);

/// The longest piece of a line that is held back.
const LINE_LIMIT: usize = 64 * 1024;

/// What to start.
pub struct DriverCall<'a> {
    /// The driver's binary.
    pub executable: &'a PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub directory: PathBuf,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this number; a signal counts as none that the runner knows.
    Code(i32),
    /// Because the time was up.
    TimedOut,
    /// Because the pipeline was cancelled.
    Cancelled,
}

/// What ends a call early.
pub struct Limits {
    /// When the time is up.
    pub deadline: Option<Instant>,
    /// Turns true when the pipeline is cancelled.
    pub cancelled: Option<tokio::sync::watch::Receiver<bool>>,
}

impl Limits {
    /// Nothing ends it early.
    pub fn none() -> Self {
        Self { deadline: None, cancelled: None }
    }

    pub(super) async fn reached(&mut self) -> Ended {
        let deadline = self.deadline;
        let time = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let cancel = async {
            match &mut self.cancelled {
                // The sender outlives all jobs; were it gone, nobody could cancel.
                Some(receiver) => {
                    let gone = receiver.wait_for(|cancelled| *cancelled).await.is_err();
                    if gone {
                        std::future::pending::<()>().await;
                    }
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => Ended::TimedOut,
            () = cancel => Ended::Cancelled,
        }
    }
}

impl DriverCall<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(self.executable);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    /// Runs it to its end with its output in the log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn run(&self, lines: &JobLines, mut limits: Limits) -> io::Result<Ended> {
        let mut child = self.command().spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let output = async { tokio::join!(pass(stdout, lines), pass(stderr, lines)) };
        let group = group(&child);
        let waiting = async {
            // The stage is open as long as anybody holds its output, as with the runner.
            output.await;
            child.wait().await
        };
        tokio::pin!(waiting);
        let ended = tokio::select! {
            status = &mut waiting => return status.map(code),
            why = limits.reached() => why,
        };
        // What it says while it stops belongs to the log too.
        for (signal, patience) in [(Signal::TERM, GRACE), (Signal::KILL, ABANDONED)] {
            send(group, signal);
            if timeout(patience, &mut waiting).await.is_ok() {
                break;
            }
        }
        Ok(ended)
    }

    /// Runs it to its end; its standard output is the answer, its errors go to the log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn ask(&self, lines: &JobLines) -> io::Result<(Ended, Vec<u8>)> {
        let mut child = self.command().spawn()?;
        let mut answer = Vec::new();
        let stdout = child.stdout.take();
        let read = async {
            match stdout {
                Some(mut stdout) => stdout.read_to_end(&mut answer).await,
                None => Ok(0),
            }
        };
        let (read, ()) = tokio::join!(read, pass(child.stderr.take(), lines));
        read?;
        let status = child.wait().await?;
        Ok((code(status), answer))
    }
}

fn code(status: std::process::ExitStatus) -> Ended {
    Ended::Code(status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(-1))
}

/// The process group that a child was started in.
fn group(child: &Child) -> Option<Pid> {
    child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
}

fn send(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // It may have ended by itself meanwhile.
        let _ = kill_process_group(group, signal);
    }
}

/// Masks before it looks for lines: a value may span several of them.
async fn pass(stream: Option<impl AsyncRead + Unpin>, lines: &JobLines) {
    let Some(mut stream) = stream else { return };
    let mut masker = lines.masker();
    let (mut buffer, mut pending) = (vec![0; LINE_LIMIT], Vec::new());
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        masker.push(&buffer[..count], &mut pending);
        show_lines(&mut pending, lines);
    }
    masker.finish(&mut pending);
    show_lines(&mut pending, lines);
    if !pending.is_empty() {
        lines.output(&pending);
    }
}

/// Shows the lines that have ended, and one that is too long to wait for its end.
fn show_lines(pending: &mut Vec<u8>, lines: &JobLines) {
    let mut shown = 0;
    while let Some(length) = pending[shown..].iter().position(|byte| *byte == b'\n') {
        lines.output(&pending[shown..shown + length]);
        shown += length + 1;
    }
    pending.drain(..shown);
    if pending.len() >= LINE_LIMIT {
        lines.output(pending);
        pending.clear();
    }
}
