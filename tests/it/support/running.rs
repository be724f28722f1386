//! A job under way, seen from outside: wait for what it prints or calls, cancel it, kill its runner, and
//! read how it ended.

use super::call::{Chunk, Event, Exit, RunnerProcess, Stream, Tagged};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How GitLab would show the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    Success,
    Failed,
    Canceled,
    /// The runner was killed: GitLab hears nothing and keeps the job running.
    Lost,
}

/// Why a job failed, in GitLab's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    ScriptFailure,
    RunnerSystemFailure,
    RunnerConfigurationError,
    JobExecutionTimeout,
}

/// One call of the driver, as it went.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// `config`, `prepare`, `run` or `cleanup`.
    pub call: String,
    /// The stage of a `run` call.
    pub stage: Option<String>,
    /// Which try of `prepare` (from 1) this call belongs to.
    pub attempt: u32,
    pub pid: Option<i32>,
    pub exit: Exit,
    /// Since the job began.
    pub started: Duration,
    pub duration: Duration,
    pub chunks: Vec<Chunk>,
    /// Whether TERM was sent, and when it was, since the call began.
    pub terminated: Option<Duration>,
    /// The runner's `TMPDIR` of this call.
    pub directory: PathBuf,
}

impl CallRecord {
    /// `run build_script`, or the call's name alone.
    pub fn name(&self) -> String {
        self.stage
            .as_ref()
            .map_or_else(|| self.call.clone(), |stage| format!("{} {stage}", self.call))
    }

    pub fn stdout(&self) -> String {
        self.output(Some(Stream::Stdout))
    }

    pub fn stderr(&self) -> String {
        self.output(Some(Stream::Stderr))
    }

    /// Both outputs in order of arrival.
    pub fn both(&self) -> String {
        self.output(None)
    }

    fn output(&self, wanted: Option<Stream>) -> String {
        let chunks = self.chunks.iter().filter(|chunk| wanted.is_none_or(|w| w == chunk.stream));
        let bytes: Vec<u8> = chunks.flat_map(|chunk| chunk.bytes.clone()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// How a job ended.
#[derive(Debug)]
pub struct JobResult {
    pub status: JobStatus,
    /// GitLab's `exit_code`: there only after a script failure.
    pub exit_code: Option<i32>,
    pub failure_reason: Option<FailureReason>,
    /// The job's log: what prepare and run printed, config's stderr, and the runner's own lines. The runner
    /// masks nothing here, so what a driver lets through is seen.
    pub trace: Vec<u8>,
    /// What went to the runner's own log: cleanup's outputs and the runner's warnings.
    pub runner_log: Vec<u8>,
    pub calls: Vec<CallRecord>,
    pub duration: Duration,
}

impl JobResult {
    pub fn trace_text(&self) -> String {
        String::from_utf8_lossy(&self.trace).into_owned()
    }

    /// The job log as a person reads it: without what is erased again, such as a keep-alive before a line.
    pub fn shown_text(&self) -> String {
        let shown = |line: &str| line.rsplit("\r\x1b[0K").next().unwrap_or_default().to_owned();
        self.trace_text().split_inclusive('\n').map(shown).collect()
    }

    pub fn runner_log_text(&self) -> String {
        String::from_utf8_lossy(&self.runner_log).into_owned()
    }

    /// Names of all calls in order, such as `prepare` or `run build_script`.
    pub fn call_names(&self) -> Vec<String> {
        self.calls.iter().map(CallRecord::name).collect()
    }

    /// The last call of this name (`prepare`, `build_script` or `run build_script`); panics when there was none.
    pub fn call(&self, name: &str) -> &CallRecord {
        let found = self
            .calls
            .iter()
            .rev()
            .find(|call| call.name() == name || call.stage.as_deref() == Some(name));
        found.unwrap_or_else(|| panic!("no call {name} among {:?}", self.call_names()))
    }

    /// Panics with the whole log unless the job succeeded.
    pub fn assert_success(&self) -> &Self {
        self.assert_ended(JobStatus::Success, "");
        self
    }

    /// Asserts how it ended; tells all of it otherwise.
    pub fn assert_ended(&self, status: JobStatus, context: &str) {
        assert!(
            self.status == status,
            "{context} job ended as {:?} {:?} (exit code {:?}); calls {:?}\n--- trace\n{}\n--- runner log\n{}",
            self.status,
            self.failure_reason,
            self.exit_code,
            self.calls.iter().map(|c| format!("{}: {:?}", c.name(), c.exit)).collect::<Vec<_>>(),
            self.trace_text(),
            self.runner_log_text(),
        );
    }
}

/// What watchers of a running job see; the job's thread writes it.
#[derive(Debug, Default)]
pub struct Observed {
    pub trace: Vec<u8>,
    /// Name of each call that was started, with its pid.
    pub calls: Vec<(String, i32)>,
    pub ended: bool,
}

/// The shared view of a running job.
#[derive(Debug, Default)]
pub struct Watch {
    observed: Mutex<Observed>,
    changed: Condvar,
}

impl Watch {
    pub fn update(&self, change: impl FnOnce(&mut Observed)) {
        change(&mut self.observed.lock().expect("no watcher died with the view in hand"));
        self.changed.notify_all();
    }

    fn wait<T>(&self, limit: Duration, what: &str, find: impl Fn(&Observed) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        let mut view: MutexGuard<'_, Observed> =
            self.observed.lock().expect("no watcher died with the view in hand");
        loop {
            if let Some(found) = find(&view) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !view.ended,
                "{what} did not come ({}); calls {:?}, log so far:\n{}",
                if view.ended { "the job ended" } else { "time is up" },
                view.calls,
                String::from_utf8_lossy(&view.trace)
            );
            view = self
                .changed
                .wait_timeout(view, left)
                .expect("no watcher died with the view in hand")
                .0;
        }
    }
}

/// A started job.
#[derive(Debug)]
pub struct RunningJob {
    pub(super) watch: Arc<Watch>,
    pub(super) events: Sender<Tagged>,
    pub(super) runner: Option<Arc<Mutex<RunnerProcess>>>,
    pub(super) thread: JoinHandle<JobResult>,
}

impl RunningJob {
    /// Waits until the job's log holds `text`.
    pub fn wait_for_output(&self, text: &str, limit: Duration) {
        self.watch.wait(limit, &format!("output {text:?}"), |seen| {
            seen.trace.windows(text.len()).any(|part| part == text.as_bytes()).then_some(())
        });
    }

    /// The job's log so far.
    pub fn output_so_far(&self) -> String {
        self.watch.wait(Duration::from_secs(1), "the log", |seen| {
            Some(String::from_utf8_lossy(&seen.trace).into_owned())
        })
    }

    /// Waits until a call such as `prepare` or `run build_script` was started; returns its pid.
    pub fn wait_for_call(&self, name: &str, limit: Duration) -> i32 {
        self.watch.wait(limit, &format!("call {name}"), |seen| {
            seen.calls.iter().find(|(call, _)| call == name).map(|(_, pid)| *pid)
        })
    }

    /// Whether it has come to its end.
    pub fn has_ended(&self) -> bool {
        self.watch.observed.lock().expect("no watcher died with the view in hand").ended
    }

    /// Cancel as a person does in GitLab: TERM to the stage, then `after_script` and what follows it.
    pub fn cancel(&self) {
        let _ = self.events.send((0, Event::Cancel));
    }

    /// Forced cancel: TERM to the call, then only cleanup.
    pub fn abort(&self) {
        let _ = self.events.send((0, Event::Abort));
    }

    /// SIGKILL to the runner; the running driver stays behind, and cleanup never comes. Needs `own_process`.
    pub fn kill_runner(&self) {
        let runner =
            self.runner.as_ref().expect("only a runner made with own_process can be killed");
        runner.lock().expect("no test thread died with the runner in hand").kill();
        let _ = self.events.send((0, Event::RunnerKilled));
    }

    /// Waits for the end.
    pub fn join(self) -> JobResult {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
