//! Lets a job in, or has it wait for its turn: what the operator lets jobs of this host have at once is
//! looked after by those who want in, one after the other. Nobody else keeps watch.
//!
//! The one who came first looks at what runs and at the disk; the others at their place alone. Where nothing
//! is limited, and the disk is not short, there is no queue at all.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::engine::Engine;
use crate::host::gc::{self, Trigger};
use crate::host::owner;
use crate::host::queue::{Queue, QueueLock, Standing, Ticket};
use crate::host::{capacity, orphans, space};
use crate::joblog::JobLog;
use crate::plan::admission::Room;
use crate::plan::container::ContainerPlan;
use crate::settings::{Capacity, SocketMode};

use super::call::Call;
use super::ending::Ending;
use super::error::CallError;

mod running;

/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Time between two looks whether another process has let go of the queue.
const LOCK_AGAIN: Duration = Duration::from_millis(10);

/// Time between two words to the job's author.
const TELL_AGAIN: Duration = Duration::from_secs(15);

/// Time between two tries to make room on the disk.
const COLLECT_AGAIN: Duration = Duration::from_mins(1);

/// How long a dead one's file is kept after its job could have waited: its next try is seconds away.
const KEEP: Duration = Duration::from_mins(10);

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
    let counts = call.settings.admission.limits_jobs() || call.settings.has_raw_socket();
    if !counts && shortage(call, engine).await?.is_none() {
        return Ok(Admitted::default());
    }
    let mut gate = Gate::open(call, engine).await?;
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
async fn shortage<E: Engine>(call: &Call<'_>, engine: &E) -> Result<Option<String>, CallError> {
    let seen = space::look(engine, &call.settings).await?;
    Ok(seen.space().and_then(|space| gc::shortage(&call.settings, space)))
}

/// Why a job was not let in.
enum Refused {
    /// Its next try goes on waiting.
    ForNow(CallError),
    /// There will be none.
    ForGood(CallError),
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        Self::ForNow(error)
    }
}

/// How it stands after a look.
enum Look {
    /// It was let in.
    In,
    /// It waits for others, and why.
    Waits(String),
    /// It is its turn, and the disk is short.
    NoSpace(String),
}

struct Gate<'a, E> {
    call: &'a Call<'a>,
    engine: &'a E,
    queue: Queue,
    room: Room,
    ticket: Ticket,
}

impl<'a, E: Engine> Gate<'a, E> {
    async fn open(call: &'a Call<'a>, engine: &'a E) -> Result<Self, CallError> {
        let queue = Queue::open(&call.settings.run_dir).map_err(|error| failed(call, &error))?;
        let room = Room::of(&call.settings.admission, host(call)?);
        let held = lock(call, &queue).await?;
        let now = owner::since_boot().map_err(|error| failed(call, &error))?;
        let entered = queue.enter(call.plan.key.as_str(), call.plan.weight(), now, &held);
        let ticket = entered.map_err(|error| failed(call, &error))?;
        drop(held);
        Ok(Self { call, engine, queue, room, ticket })
    }

    async fn wait<W: Write>(&mut self, log: &mut JobLog<W>) -> Result<(), Refused> {
        let mut ending = None;
        let (began, mut told, mut collected) = (Instant::now(), None, None);
        loop {
            let look = self.look().await?;
            let (Look::Waits(why) | Look::NoSpace(why)) = &look else { break };
            if is_due(told, TELL_AGAIN) {
                log.line(format!("longshore: waiting for a place on this host: {why}"));
                told = Some(Instant::now());
            }
            let ending = match &mut ending {
                Some(ending) => ending,
                none => none.insert(Ending::watch()?),
            };
            if matches!(look, Look::NoSpace(_)) && is_due(collected, COLLECT_AGAIN) {
                ending.or(self.collect(log)).await.map_err(Refused::ForGood)?;
                collected = Some(Instant::now());
                continue;
            }
            self.check_patience(why)?;
            ending.or(pause()).await.map_err(Refused::ForGood)?;
            if self.call.is_orphaned() {
                let gone = CallError::system("the runner of this job is gone");
                return Err(Refused::ForGood(gone));
            }
        }
        if told.is_some() {
            let waited = Duration::from_secs(began.elapsed().as_secs());
            let waited = humantime::format_duration(waited);
            log.line(format!("longshore: waited {waited} for a place on this host"));
        }
        Ok(())
    }

    /// Looks once: at the queue, and where nobody is before this job, at disk and jobs.
    async fn look(&mut self) -> Result<Look, CallError> {
        let held = lock(self.call, &self.queue).await?;
        let others = self.queue.others(&self.ticket, &held);
        let others = others.map_err(|error| failed(self.call, &error))?;
        self.forget_dead(&others, &held)?;
        let alive = || others.iter().filter(|one| one.alive);
        let number = self.ticket.entry.number;
        let waiting = || alive().filter(|one| !one.entry.admitted);
        let before = waiting().filter(|one| one.entry.number < number).count();
        let place = format!("number {} of {} in the queue", before + 1, waiting().count() + 1);
        if before > 0 {
            return Ok(Look::Waits(place));
        }
        if let Some(short) = shortage(self.call, self.engine).await? {
            return Ok(Look::NoSpace(format!("{place}; {short}")));
        }
        // After the queue: whoever left it has a container by now.
        let let_in: Vec<&Standing> = alive().filter(|one| one.entry.admitted).collect();
        if let Some(lack) = running::lack(self, &let_in).await? {
            return Ok(Look::Waits(format!("{place}; {lack}")));
        }
        self.ticket.admit(&held).map_err(|error| failed(self.call, &error))?;
        Ok(Look::In)
    }

    /// Makes room on the disk; not under the queue's lock, as it may take its time.
    async fn collect<W: Write>(&self, log: &mut JobLog<W>) -> Result<(), CallError> {
        let settings = &self.call.settings;
        let told = match gc::run(self.engine, settings, self.call.world, Trigger::Admission).await {
            Ok(report) => {
                let (count, freed) = (report.removed.len(), report.freed.all() >> 20);
                format!(
                    "longshore: removed {count} things that were long unused, about {freed} MiB"
                )
            }
            // It waits all the same: others may leave, and the next try may do better.
            Err(error) => format!("longshore: failed to make room: {error}"),
        };
        log.line(told);
        Ok(())
    }

    fn check_patience(&self, why: &str) -> Result<(), CallError> {
        let now = owner::since_boot().map_err(|error| failed(self.call, &error))?;
        let waited = now.saturating_sub(self.ticket.entry.first);
        if waited < self.call.settings.admission.wait.0 {
            return Ok(());
        }
        Err(CallError::system(format!(
            "there was no place for this job on this host for {} (admission.wait): {why}\n  to have GitLab \
             try it again later, set in the job: retry: {{max: 2, when: runner_system_failure}}",
            humantime::format_duration(Duration::from_secs(waited.as_secs()))
        )))
    }

    fn forget_dead(&self, others: &[Standing], held: &QueueLock) -> Result<(), CallError> {
        let now = owner::since_boot().map_err(|error| failed(self.call, &error))?;
        let longest = self.call.settings.admission.wait.0 + KEEP;
        let old = |first: Duration| first > now || now.saturating_sub(first) > longest;
        for dead in others.iter().filter(|one| !one.alive && old(one.entry.first)) {
            self.queue.forget(&dead.entry, held);
        }
        Ok(())
    }
}

fn is_due(last: Option<Instant>, interval: Duration) -> bool {
    last.is_none_or(|at| at.elapsed() >= interval)
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

async fn pause() -> Result<(), CallError> {
    sleep(LOOK_AGAIN).await;
    Ok(())
}

fn host(call: &Call<'_>) -> Result<Capacity, CallError> {
    if !call.settings.admission.weighs() {
        return Ok(Capacity { memory_bytes: 0, cpus: 0 });
    }
    capacity::read()
        .map_err(|error| CallError::system(format!("failed to read what this host has: {error}")))
}

fn failed(call: &Call<'_>, error: &io::Error) -> CallError {
    CallError::system(format!(
        "failed to queue for a place on this host in {}: {error}; set run_dir to a directory of this user",
        call.settings.run_dir.join("queue").display()
    ))
}
