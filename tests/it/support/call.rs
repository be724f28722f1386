//! One call of the driver as GitLab Runner makes it: own process group, no stdin, both outputs captured
//! apart with a time for each chunk. It knows nothing of stages or jobs.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::kill_points::{has_ended, stops};
use super::waiting::await_that;

/// How a call's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// The process could not be started (no such file, environment too long).
    NotStarted(String),
    /// It outlived TERM and KILL; the runner went on without it.
    Abandoned,
}

/// Which output a chunk came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Bytes as one read returned them.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub at: Instant,
    pub stream: Stream,
    pub bytes: Vec<u8>,
}

/// What a running call, or whoever watches the job, tells the runner's loop.
#[derive(Debug)]
pub enum Event {
    Output(Chunk),
    /// One of the two outputs is closed by everybody who held it.
    Closed,
    Exited(Exit),
    /// Somebody pressed cancel.
    Cancel,
    /// Forced cancel: nothing but cleanup follows.
    Abort,
    /// The runner itself was killed.
    RunnerKilled,
}

/// An event with the number of the call it belongs to; 0 for what does not come from a call.
pub type Tagged = (u32, Event);

/// Where a call reports to, and as which number: a call that was given up may still report later.
#[derive(Debug, Clone)]
pub struct Reporter {
    pub events: Sender<Tagged>,
    pub call: u32,
}

impl Reporter {
    fn send(&self, event: Event) {
        // The receiver is gone when the job is: then nobody wants to know.
        let _ = self.events.send((self.call, event));
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: BTreeMap<OsString, OsString>,
    pub directory: PathBuf,
}

/// A started call: its process group leader, and the far ends that keep its readers alive.
#[derive(Debug)]
pub struct Started {
    pub pid: Pid,
    stop: Vec<OwnedFd>,
}

impl Started {
    /// Sends a signal to the whole process group; a group that is gone already is fine.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.pid, signal);
    }

    /// Stops reading, as a runner that died does: the driver's next write meets a closed pipe.
    pub fn hang_up(&mut self) {
        self.stop.clear();
    }
}

/// Who the parent of the driver's processes is.
#[derive(Debug)]
pub enum Parent {
    /// The test process.
    Test,
    /// A process of its own, which can be killed as a runner can.
    Process(Arc<Mutex<RunnerProcess>>),
}

impl Parent {
    /// Starts a call; its events arrive at `events`.
    pub fn start(&self, call: &Invocation, events: &Reporter) -> Result<Started, String> {
        match self {
            Self::Test => start_here(call, events),
            Self::Process(process) => RunnerProcess::start(process, call, events),
        }
    }
}

fn start_here(call: &Invocation, events: &Reporter) -> Result<Started, String> {
    let mut child = Command::new(&call.program)
        .args(&call.arguments)
        .env_clear()
        .envs(&call.environment)
        .current_dir(&call.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| error.to_string())?;
    let pid = Pid::from_child(&child);
    let stdout = child.stdout.take().map(OwnedFd::from).expect("stdout is piped");
    let stderr = child.stderr.take().map(OwnedFd::from).expect("stderr is piped");
    let stop = vec![
        read(Stream::Stdout, move || File::from(stdout), events),
        read(Stream::Stderr, move || File::from(stderr), events),
    ];
    let events = events.clone();
    std::thread::spawn(move || {
        let exit = match child.wait() {
            Ok(status) => status
                .code()
                .map_or_else(|| Exit::Signal(status.signal().unwrap_or_default()), Exit::Code),
            Err(error) => Exit::NotStarted(error.to_string()),
        };
        events.send(Event::Exited(exit));
    });
    Ok(Started { pid, stop })
}

/// Reads one output on a thread until its end, or until the returned end of a pipe is dropped.
fn read(
    stream: Stream,
    open: impl FnOnce() -> File + Send + 'static,
    events: &Reporter,
) -> OwnedFd {
    let (watched, kept) = std::io::pipe().expect("a pipe can be made");
    let events = events.clone();
    std::thread::spawn(move || {
        let mut file = open();
        let mut buffer = vec![0; 64 * 1024];
        while wait_readable(&file, &watched) {
            match file.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    let bytes = buffer[..length].to_vec();
                    events.send(Event::Output(Chunk { at: Instant::now(), stream, bytes }));
                }
            }
        }
        drop(file);
        events.send(Event::Closed);
    });
    kept.into()
}

/// Waits for bytes or end of file; `false` when told to stop.
fn wait_readable(file: &File, watched: &PipeReader) -> bool {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(watched.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None::<&Timespec>) {
            Ok(_) if !fds[1].revents().is_empty() => return false,
            Ok(_) if !fds[0].revents().is_empty() => return true,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// A bash that starts calls on demand, so that the driver has a parent which a test can kill.
#[derive(Debug)]
pub struct RunnerProcess {
    child: Child,
    commands: ChildStdin,
    answers: Option<BufReader<ChildStdout>>,
    directory: PathBuf,
    calls: u32,
}

/// Job control gives each background job a process group of its own, as the runner does; with it `wait` answers
/// for a job that was stopped too, which has not ended.
const LOOP: &str = r#"
await() {
  local code
  echo "$1"
  until wait "$1"; code=$?; ((code <= 128)) || ! kill -0 "$1"; do sleep 0.05; done
  echo "$code"
}
set -m; while IFS= read -r -d '' command; do eval "$command"; done"#;

impl RunnerProcess {
    /// Starts the process; `directory` is for the pipes between it and the test.
    pub fn spawn(directory: &Path) -> Self {
        let mut child = Command::new("bash")
            .args(["-c", LOOP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // bash tells of each finished job
            .spawn()
            .expect("bash is there");
        let commands = child.stdin.take().expect("stdin is piped");
        let answers = child.stdout.take().map(BufReader::new);
        Self { child, commands, answers, directory: directory.to_owned(), calls: 0 }
    }

    /// SIGKILL, as `kill -9` of a runner or the out-of-memory killer.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The same, with the driver's process. The kernel wakes who is stopped when its parent dies, and a parent
    /// that lives hears of its child's end: so one after the other, with nobody awake.
    pub fn kill_with(&mut self, driver: i32) {
        assert!(stops(Pid::from_child(&self.child).as_raw_nonzero().get()), "the runner ends");
        let pid = Pid::from_raw(driver).expect("a pid");
        kill_process(pid, Signal::KILL).expect("the driver is there");
        await_that("the driver's end", || has_ended(driver));
        self.kill();
    }

    fn start(
        this: &Arc<Mutex<Self>>,
        call: &Invocation,
        events: &Reporter,
    ) -> Result<Started, String> {
        let mut process = this.lock().expect("no test thread died with the runner in hand");
        process.calls += 1;
        let pipe = |name: &str| process.directory.join(format!("call{}.{name}", process.calls));
        let (stdout, stderr) = (pipe("stdout"), pipe("stderr"));
        for path in [&stdout, &stderr] {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o600),
                0,
            )
            .map_err(|error| error.to_string())?;
        }
        let command = shell_command(call, &stdout, &stderr);
        process.commands.write_all(&command).map_err(|error| error.to_string())?;
        let open = |path: PathBuf| move || File::open(path).expect("the pipe was just made");
        let stop = vec![
            read(Stream::Stdout, open(stdout), events),
            read(Stream::Stderr, open(stderr), events),
        ];
        let mut answers = process.answers.take().expect("one call at a time");
        let pid = number(&mut answers).and_then(Pid::from_raw).ok_or("the runner died")?;
        drop(process);
        wait_for_exit(Arc::clone(this), answers, events.clone());
        Ok(Started { pid, stop })
    }
}

/// Waits on a thread for the exit of the running call, then puts the answers back for the next one.
fn wait_for_exit(
    process: Arc<Mutex<RunnerProcess>>,
    mut answers: BufReader<ChildStdout>,
    events: Reporter,
) {
    std::thread::spawn(move || {
        let code = number(&mut answers);
        process.lock().expect("no test thread died with the runner in hand").answers =
            Some(answers);
        let exit = match code {
            Some(code) if code > 128 => Exit::Signal(code - 128),
            Some(code) => Exit::Code(code),
            None => return, // the runner was killed: nobody hears of the exit any more
        };
        events.send(Event::Exited(exit));
    });
}

impl Drop for RunnerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn number(answers: &mut BufReader<ChildStdout>) -> Option<i32> {
    let mut line = String::new();
    answers.read_line(&mut line).ok()?;
    line.trim().parse().ok()
}

fn shell_command(call: &Invocation, stdout: &Path, stderr: &Path) -> Vec<u8> {
    let mut text: Vec<u8> = b"( cd ".to_vec();
    let quoted = |text: &mut Vec<u8>, bytes: &[u8]| {
        text.push(b'\'');
        for byte in bytes {
            if *byte == b'\'' {
                text.extend(br"'\''");
            } else {
                text.push(*byte);
            }
        }
        text.extend(b"' ");
    };
    quoted(&mut text, call.directory.as_os_str().as_bytes());
    text.extend(b"&& exec env -i ");
    for (key, value) in &call.environment {
        quoted(&mut text, &[key.as_bytes(), b"=", value.as_bytes()].concat());
    }
    quoted(&mut text, call.program.as_os_str().as_bytes());
    for argument in &call.arguments {
        quoted(&mut text, argument.as_bytes());
    }
    text.extend(b"</dev/null >");
    quoted(&mut text, stdout.as_os_str().as_bytes());
    text.extend(b"2>");
    quoted(&mut text, stderr.as_os_str().as_bytes());
    text.extend(b") & await $!\0");
    text
}
