//! Lets a job in, or has it wait for its turn: what the operator lets jobs of this host have at once is
//! looked after by those who want in, one after the other. Nobody else keeps watch.
//!
//! The one who came first looks at what runs and at the disk; the others at their place alone. Where nothing
//! is limited, and the disk is not short, there is no queue at all.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::sleep;

use crate::engine::{Engine, EngineError};
use crate::host::queue::{Queue, QueueLock, Ticket};
use crate::host::{capacity, gc, orphans, owner, space};
use crate::joblog::JobLog;
use crate::plan::container::ContainerPlan;
use crate::settings::{Capacity, SocketMode};

use super::call::Call;
use super::error::CallError;

mod gate;
mod running;

use gate::{Gate, Refused};

/// Time between two looks whether another process has let go of the queue.
const LOCK_AGAIN: Duration = Duration::from_millis(10);

/// How time passes for those who wait.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Time since the boot, by which all waits are measured: no clock that is set changes it.
    pub since_boot: fn() -> io::Result<Duration>,
    /// Time between two looks.
    pub look_again: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { since_boot: owner::since_boot, look_again: Duration::from_millis(500) }
    }
}

/// That a job was let in; held until its containers are there.
#[derive(Debug, Default)]
pub struct Admitted(Option<Ticket>);

impl Admitted {
    /// Its containers are there, and speak for it from now on.
    pub fn done(self) {
        if let Some(ticket) = self.0 {
            ticket.leave();
        }
    }
}

/// Waits until there is room for the job; at once where nothing is limited.
///
/// # Errors
/// Ours: it waited too long, the runner ended it, what raw-socket jobs left is too much, or the engine or
/// the queue's files fail.
pub async fn enter<E: Engine, W: Write>(
    call: &Call<'_>,
    engine: &E,
    log: &mut JobLog<W>,
) -> Result<Admitted, CallError> {
    enter_at(Pace::default(), call, engine, log).await
}

/// The same, at this pace.
///
/// # Errors
/// As [`enter()`].
pub async fn enter_at<E: Engine, W: Write>(
    pace: Pace,
    call: &Call<'_>,
    engine: &E,
    log: &mut JobLog<W>,
) -> Result<Admitted, CallError> {
    let counts = call.settings.admission.limits_jobs() || call.settings.has_raw_socket();
    if !counts && shortage(call, engine).await?.is_none() {
        return Ok(Admitted::default());
    }
    let mut gate = Gate::open(pace, call, engine).await?;
    match gate.wait(log).await {
        Ok(()) => {}
        Err(Refused::ForGood(error)) => {
            gate.ticket.leave();
            return Err(error);
        }
        // The file stays: the runner tries again, and the wait goes on from there.
        Err(Refused::ForNow(error)) => return Err(error),
    }
    if call.plan.socket == SocketMode::Raw {
        orphans::remember_raw_job(&call.settings.run_dir, (call.world.clock)());
    }
    Ok(Admitted(Some(gate.ticket)))
}

/// Writes down on the job's container what later jobs want to know of it.
pub fn mark(call: &Call<'_>, job: &mut ContainerPlan) {
    if call.settings.admission.weighs() {
        call.plan.weight().write(&mut job.labels);
    }
    if call.plan.socket == SocketMode::Raw {
        orphans::mark(&mut job.labels);
    }
}

/// How the engine's disk is short, where it is.
async fn shortage<E: Engine>(call: &Call<'_>, engine: &E) -> Result<Option<String>, EngineError> {
    let seen = space::look(engine, &call.settings).await?;
    Ok(seen.space().and_then(|space| gc::shortage(&call.settings, space)))
}

/// Never waits in the kernel: the runner may want this call to end.
async fn lock(call: &Call<'_>, queue: &Queue) -> Result<QueueLock, CallError> {
    loop {
        if let Some(lock) = queue.try_lock().map_err(|error| failed(call, &error))? {
            return Ok(lock);
        }
        sleep(LOCK_AGAIN).await;
    }
}

fn host(call: &Call<'_>) -> Result<Capacity, CallError> {
    if !call.settings.admission.weighs() {
        return Ok(Capacity { memory_bytes: 0, cpus: 0 });
    }
    capacity::read()
        .map_err(|error| CallError::system(format!("failed to read what this host has: {error}")))
}

fn failed(call: &Call<'_>, error: &io::Error) -> CallError {
    let directory = call.settings.run_dir.join("queue");
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => "make room on its file system",
        _ => "set run_dir to a directory of this user",
    };
    CallError::system(format!(
        "failed to queue for a place on this host in {}: {error}; {hint}",
        directory.display()
    ))
}
