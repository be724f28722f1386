//! Making the calls of one job: environment and files around each, timeouts, TERM and KILL, and what an
//! exit number means. Which call comes when is `lifecycle`'s affair.

use super::call::{Chunk, Event, Exit, Invocation, Parent, Reporter, Started, Stream, Tagged};
use super::environment::{Moment, custom_env};
use super::fake_runner::RunnerSettings;
use super::job_json::FakeJob;
use super::running::{CallRecord, Watch};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// Why a job, or a part of it, did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The job's own, with the exit code for GitLab.
    Build(i32),
    System,
    Configuration,
    /// The time of this call alone was up.
    CallTimeout,
    JobTimeout,
    Canceled,
    /// Forced cancel.
    Aborted,
    /// The runner was killed.
    Lost,
}

/// From where a call can be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Cancel, forced cancel and the job's timeout.
    Cancel,
    /// Forced cancel and the job's timeout: `after_script` and what follows it.
    Abort,
    /// Nothing but its own time limit: cleanup.
    Nothing,
}

/// What bounds a call.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub call: Option<Duration>,
    pub reach: Reach,
}

/// One try of prepare: its directory and what config said.
#[derive(Debug, Default)]
pub struct Attempt {
    pub number: u32,
    pub directory: PathBuf,
    pub job_env: BTreeMap<String, String>,
    pub moment: Moment,
}

/// What happens when a deadline passes.
#[derive(Debug, Clone, Copy)]
enum Step {
    Terminate(Fault),
    Kill,
    Abandon,
}

/// Makes calls and keeps what came of them.
pub struct Caller {
    pub settings: RunnerSettings,
    pub job: FakeJob,
    pub begun: Instant,
    pub trace: Vec<u8>,
    pub runner_log: Vec<u8>,
    pub calls: Vec<CallRecord>,
    parent: Parent,
    events: Sender<Tagged>,
    incoming: Receiver<Tagged>,
    pub watch: Arc<Watch>,
    number: u32,
}

impl Caller {
    pub fn new(
        (settings, job): (RunnerSettings, FakeJob),
        parent: Parent,
        (events, incoming): (Sender<Tagged>, Receiver<Tagged>),
        watch: Arc<Watch>,
    ) -> Self {
        Self {
            settings,
            job,
            begun: Instant::now(),
            trace: Vec::new(),
            runner_log: Vec::new(),
            calls: Vec::new(),
            parent,
            events,
            incoming,
            watch,
            number: 0,
        }
    }

    /// Makes one call; returns what it wrote to stdout.
    pub fn call(
        &mut self,
        attempt: &Attempt,
        words: &[OsString],
        limits: Limits,
    ) -> Result<Vec<u8>, Fault> {
        self.waiting(limits.reach)?;
        let invocation = self.invocation(attempt, words);
        let mut record = CallRecord {
            call: words[0].to_string_lossy().into_owned(),
            stage: words.get(2).map(|stage| stage.to_string_lossy().into_owned()),
            attempt: attempt.number,
            pid: None,
            exit: Exit::Abandoned,
            started: self.begun.elapsed(),
            duration: Duration::ZERO,
            chunks: Vec::new(),
            terminated: None,
            directory: attempt.directory.clone(),
        };
        let interrupt = self.follow(&invocation, &mut record, limits);
        record.duration = self.begun.elapsed().saturating_sub(record.started);
        let fault = interrupt.or_else(|| self.judge(&record, attempt));
        let answer = record.chunks.iter().filter(|chunk| chunk.stream == Stream::Stdout);
        let answer = answer.flat_map(|chunk| chunk.bytes.clone()).collect();
        self.calls.push(record);
        fault.map_or(Ok(answer), Err)
    }

    /// Takes up what came between two calls.
    fn waiting(&mut self, reach: Reach) -> Result<(), Fault> {
        while let Ok((_, event)) = self.incoming.try_recv() {
            match event {
                Event::RunnerKilled => return Err(Fault::Lost),
                Event::Cancel if reach == Reach::Cancel => return Err(Fault::Canceled),
                Event::Abort if reach != Reach::Nothing => return Err(Fault::Aborted),
                _ => {}
            }
        }
        Ok(())
    }

    fn invocation(&self, attempt: &Attempt, words: &[OsString]) -> Invocation {
        let mut environment = self.settings.environment.clone();
        let path = |name: &str| attempt.directory.join(name).into_os_string();
        environment.extend([
            ("TMPDIR".into(), attempt.directory.clone().into_os_string()),
            ("JOB_RESPONSE_FILE".into(), path("response.json")),
            ("BUILD_EXIT_CODE_FILE".into(), path("build_exit_code")),
            ("BUILD_FAILURE_EXIT_CODE".into(), "1".into()),
            ("SYSTEM_FAILURE_EXIT_CODE".into(), "2".into()),
        ]);
        // job_env may override all of the above, but none of CUSTOM_ENV_*; config runs before it exists.
        environment.extend(attempt.job_env.iter().map(|(k, v)| (k.into(), v.into())));
        environment.extend(custom_env(&self.job, &attempt.moment));
        Invocation {
            program: self.settings.driver.clone(),
            arguments: [&self.settings.arguments[..], words].concat(),
            environment,
            directory: attempt.directory.clone(),
        }
    }

    /// Starts a call and stays until it and everybody who holds its outputs is gone.
    fn follow(
        &mut self,
        call: &Invocation,
        record: &mut CallRecord,
        limits: Limits,
    ) -> Option<Fault> {
        self.number += 1;
        let reporter = Reporter { events: self.events.clone(), call: self.number };
        let mut started = match self.parent.start(call, &reporter) {
            Ok(started) => started,
            Err(error) => {
                record.exit = Exit::NotStarted(error);
                return None;
            }
        };
        let pid = started.pid.as_raw_nonzero().get();
        record.pid = Some(pid);
        self.watch.update(|seen| seen.calls.push((record.name(), pid)));
        let interrupt = self.attend(&started, record, limits);
        started.hang_up();
        interrupt
    }

    fn attend(
        &mut self,
        started: &Started,
        record: &mut CallRecord,
        limits: Limits,
    ) -> Option<Fault> {
        let (mut open, mut exit, mut interrupt) = (2, None, None);
        let mut next = self.first_deadline(limits);
        while open > 0 || exit.is_none() {
            match self.next_event(next.map(|(at, _)| at)) {
                Some(Event::Output(chunk)) => self.take(record, chunk),
                Some(Event::Closed) => open -= 1,
                Some(Event::Exited(code)) => exit = Some(code),
                Some(Event::RunnerKilled) => return Some(Fault::Lost),
                Some(Event::Cancel) if limits.reach == Reach::Cancel && interrupt.is_none() => {
                    next = Some((Instant::now(), Step::Terminate(Fault::Canceled)));
                }
                Some(Event::Abort) if limits.reach != Reach::Nothing && interrupt.is_none() => {
                    next = Some((Instant::now(), Step::Terminate(Fault::Aborted)));
                }
                Some(Event::Cancel | Event::Abort) => {}
                None => {
                    let Some((_, step)) = next else { continue };
                    if let Step::Terminate(fault) = step {
                        interrupt = Some(fault);
                        record.terminated =
                            Some(self.begun.elapsed().saturating_sub(record.started));
                    }
                    match self.escalate(started, step) {
                        Some(later) => next = Some(later),
                        None => break,
                    }
                }
            }
        }
        record.exit = exit.unwrap_or(Exit::Abandoned);
        interrupt
    }

    /// Does what a deadline calls for; returns the next one, or nothing when the process is given up.
    fn escalate(&self, started: &Started, step: Step) -> Option<(Instant, Step)> {
        let (signal, wait, then) = match step {
            Step::Terminate(_) => (Signal::TERM, self.settings.graceful_kill_timeout, Step::Kill),
            Step::Kill => (Signal::KILL, self.settings.force_kill_timeout, Step::Abandon),
            Step::Abandon => return None,
        };
        started.signal(signal);
        Some((Instant::now() + wait, then))
    }

    fn first_deadline(&self, limits: Limits) -> Option<(Instant, Step)> {
        let call =
            limits.call.map(|limit| (Instant::now() + limit, Step::Terminate(Fault::CallTimeout)));
        let job = (self.begun + self.job.timeout, Step::Terminate(Fault::JobTimeout));
        let job = (limits.reach != Reach::Nothing).then_some(job);
        [call, job].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The next event of the call under way or of no call; nothing when the deadline passed.
    fn next_event(&self, deadline: Option<Instant>) -> Option<Event> {
        loop {
            let left = deadline
                .map_or(Duration::from_hours(1), |at| at.saturating_duration_since(Instant::now()));
            let (call, event) = self.incoming.recv_timeout(left).ok()?;
            if call == self.number || call == 0 {
                return Some(event);
            }
        }
    }

    fn take(&mut self, record: &mut CallRecord, chunk: Chunk) {
        match (record.call.as_str(), chunk.stream) {
            ("config", Stream::Stdout) => {}
            ("cleanup", _) => self.runner_log.extend(&chunk.bytes),
            _ => self.log(&chunk.bytes),
        }
        record.chunks.push(chunk);
    }

    /// What a call's exit means. Source: the contract's table of exit numbers.
    fn judge(&mut self, record: &CallRecord, attempt: &Attempt) -> Option<Fault> {
        match &record.exit {
            Exit::Code(0) => None,
            Exit::Code(1) => Some(self.build_failure(attempt)),
            Exit::Code(2) => Some(Fault::System),
            other => {
                self.say(&format!("ERROR: unknown exit of the driver: {other:?}"));
                Some(Fault::System)
            }
        }
    }

    /// Exit 1: the script's own code is the first line of the file, which nobody but the driver removes.
    fn build_failure(&mut self, attempt: &Attempt) -> Fault {
        let path = attempt.directory.join("build_exit_code");
        let Ok(text) = fs::read_to_string(path) else {
            return Fault::Build(1);
        };
        if let Ok(code) = text.lines().next().unwrap_or_default().trim().parse() {
            return Fault::Build(code);
        }
        self.say(&format!("ERROR: BUILD_EXIT_CODE_FILE holds no number: {text:?}"));
        Fault::System
    }

    /// Waits as the runner does between two tries; a cancel ends it.
    pub fn pause(&mut self) -> Result<(), Fault> {
        let end = Instant::now() + self.settings.retry_interval;
        loop {
            match self.next_event(Some(end)) {
                None => return Ok(()),
                Some(Event::Cancel | Event::Abort) => return Err(Fault::Canceled),
                Some(Event::RunnerKilled) => return Err(Fault::Lost),
                Some(_) => {}
            }
        }
    }

    /// A line of the runner's own in the job's log.
    pub fn say(&mut self, line: &str) {
        self.log(format!("{line}\n").as_bytes());
    }

    fn log(&mut self, bytes: &[u8]) {
        self.trace.extend(bytes);
        self.watch.update(|seen| seen.trace.extend(bytes));
    }
}
