//! PID 1's duties: the only place that waits for children, and the only one that signals them. It does
//! not know what a stage is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::protocol::ExitStatus;

/// Longest pause between two looks at what is left during a sweep.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// All processes below this agent.
///
/// As PID 1 these are all of the container. Otherwise (tests, odd set-ups) the agent makes itself their
/// subreaper and never signals anything but its own descendants.
pub(super) struct Reaper {
    is_init: bool,
    watched: Mutex<HashMap<Pid, oneshot::Sender<ExitStatus>>>,
    reaped: Notify,
}

impl Reaper {
    /// Takes up the duties.
    ///
    /// # Errors
    /// The kernel does not make us the reaper of orphans.
    pub(super) fn new() -> std::io::Result<Self> {
        let is_init = rustix::process::getpid() == Pid::INIT;
        if !is_init {
            rustix::process::set_child_subreaper(Some(Pid::INIT))?;
        }
        Ok(Self { is_init, watched: Mutex::default(), reaped: Notify::new() })
    }

    /// Resolves with the end of this child. To be called before anything is awaited after the spawn.
    pub(super) fn watch(&self, pid: Pid) -> oneshot::Receiver<ExitStatus> {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(pid, sender);
        receiver
    }

    /// Collects all children that ended; answers whether any is left.
    pub(super) fn reap(&self) -> bool {
        let left = loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.deliver(pid, status),
                Ok(None) => break true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break false, // ECHILD
            }
        };
        self.reaped.notify_waiters();
        left
    }

    fn deliver(&self, pid: Pid, status: WaitStatus) {
        let Some(sender) = self.lock().remove(&pid) else {
            return;
        };
        let status = match status.terminating_signal() {
            Some(signal) => ExitStatus::Signal(signal),
            None => ExitStatus::Code(status.exit_status().unwrap_or_default()),
        };
        let _ = sender.send(status); // nobody waits for it any more
    }

    /// Signals everything below this agent.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_init {
            // kill(-1): everything in our pid namespace but PID 1. ESRCH: there was nothing.
            let _ = rustix::process::kill_process_group(Pid::INIT, signal);
        } else {
            for pid in descendants(rustix::process::getpid()) {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    }

    /// Kills everything below this agent and collects it; answers whether something outlived `deadline`.
    ///
    /// An orphan always has a living ancestor among our children, so ECHILD means that nothing is left.
    pub(super) async fn sweep(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        loop {
            let reaped = self.reaped.notified();
            self.signal(Signal::KILL);
            if !self.reap() {
                return false;
            }
            if Instant::now() >= end {
                return true;
            }
            let _ = tokio::time::timeout(SWEEP_PAUSE, reaped).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pid, oneshot::Sender<ExitStatus>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything below `root` in the process tree, as `/proc` shows it now.
fn descendants(root: Pid) -> Vec<Pid> {
    let parents: Vec<(Pid, Pid)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)?;
            Some((pid, parent_of(pid)?))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The name may hold blanks and parentheses; what follows its last one does not.
    let (_, rest) = stat.rsplit_once(')')?;
    Pid::from_raw(rest.split_whitespace().nth(1)?.parse().ok()?)
}
