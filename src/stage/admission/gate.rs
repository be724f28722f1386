//! One job that waits: looks, says its place, makes room where the disk is short, and gives up when it has
//! waited for as long as it may. It counts nothing that runs itself.

use std::io::Write;
use std::time::Duration;

use tokio::time::sleep;

use crate::engine::{ContainerSummary, Engine, EngineError};
use crate::host::gc::{self, Trigger};
use crate::host::queue::{Queue, QueueLock, Standing, Ticket};
use crate::joblog::JobLog;
use crate::plan::admission::Room;
use crate::stage::call::Call;
use crate::stage::ending::Ending;
use crate::stage::error::CallError;

use super::{Pace, failed, host, lock, running, shortage};

/// Time between two words to the job's author.
const TELL_AGAIN: Duration = Duration::from_secs(15);

/// Time between two tries to make room on the disk.
const COLLECT_AGAIN: Duration = Duration::from_mins(1);

/// How long a dead one's file is kept after its job could have waited: its next try is seconds away.
const KEEP: Duration = Duration::from_mins(10);

/// Why a job was not let in.
pub(super) enum Refused {
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

/// A job before the host's door.
pub(super) struct Gate<'a, E> {
    pace: Pace,
    /// It waits already, and goes on where the engine is away for a while.
    has_waited: bool,
    pub(super) call: &'a Call<'a>,
    pub(super) engine: &'a E,
    queue: Queue,
    pub(super) room: Room,
    pub(super) ticket: Ticket,
}

impl<'a, E: Engine> Gate<'a, E> {
    pub(super) async fn open(
        pace: Pace,
        call: &'a Call<'a>,
        engine: &'a E,
    ) -> Result<Self, CallError> {
        let queue = Queue::open(&call.settings.run_dir).map_err(|error| failed(call, &error))?;
        let room = Room::of(&call.settings.admission, host(call)?);
        let held = lock(call, &queue).await?;
        let now = (pace.since_boot)().map_err(|error| failed(call, &error))?;
        let entered = queue.enter(call.plan.key.as_str(), call.plan.weight(), now, &held);
        let ticket = entered.map_err(|error| failed(call, &error))?;
        drop(held);
        Ok(Self { pace, has_waited: false, call, engine, queue, room, ticket })
    }

    /// Waits until it is let in, and says so meanwhile.
    pub(super) async fn wait<W: Write>(&mut self, log: &mut JobLog<W>) -> Result<(), Refused> {
        let mut ending: Option<Ending> = None;
        let (began, mut told, mut collected) = (self.now()?, None, None);
        loop {
            let look = match &mut ending {
                None => self.look().await?,
                // The daemon may take its time over it.
                Some(ending) => {
                    let looked = ending.or(async { Ok(self.look().await) }).await;
                    looked.map_err(Refused::ForGood)??
                }
            };
            let (Look::Waits(why) | Look::NoSpace(why)) = &look else { break };
            let now = self.now()?;
            if is_due(told, TELL_AGAIN, now) {
                log.line(format!("longshore: waiting for a place on this host: {why}"));
                told = Some(now);
                self.has_waited = true;
            }
            let ending = match &mut ending {
                Some(ending) => ending,
                none => none.insert(Ending::watch()?),
            };
            if matches!(look, Look::NoSpace(_)) && is_due(collected, COLLECT_AGAIN, now) {
                ending.or(self.collect(log)).await.map_err(Refused::ForGood)?;
                collected = Some(self.now()?);
                continue;
            }
            self.check_patience(why)?;
            ending.or(self.pause()).await.map_err(Refused::ForGood)?;
            if self.call.is_orphaned() {
                let gone = CallError::system("the runner of this job is gone");
                return Err(Refused::ForGood(gone));
            }
        }
        if told.is_some() {
            let waited = Duration::from_secs(self.now()?.saturating_sub(began).as_secs());
            let waited = humantime::format_duration(waited);
            log.line(format!("longshore: waited {waited} for a place on this host"));
        }
        Ok(())
    }

    fn now(&self) -> Result<Duration, CallError> {
        (self.pace.since_boot)().map_err(|error| failed(self.call, &error))
    }

    async fn pause(&self) -> Result<(), CallError> {
        sleep(self.pace.look_again).await;
        Ok(())
    }

    /// Looks once: at the queue, and where nobody is before this job, at disk and jobs.
    async fn look(&mut self) -> Result<Look, CallError> {
        let held = lock(self.call, &self.queue).await?;
        let there = self.queue.restore(&mut self.ticket, &held);
        let others = there.and_then(|()| self.queue.others(&self.ticket, &held));
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
        // After the queue: whoever left it has a container by now.
        let (short, containers) = match self.seen().await {
            // A daemon that is restarted is back before long.
            Err(error) if self.has_waited && error.fault.is_away() => {
                return Ok(Look::Waits(format!("{place}; {error}")));
            }
            seen => seen?,
        };
        if let Some(short) = short {
            return Ok(Look::NoSpace(format!("{place}; {short}")));
        }
        let let_in: Vec<&Standing> = alive().filter(|one| one.entry.admitted).collect();
        if let Some(lack) = running::lack(self, &containers, &let_in)? {
            return Ok(Look::Waits(format!("{place}; {lack}")));
        }
        self.ticket.admit(&held).map_err(|error| failed(self.call, &error))?;
        Ok(Look::In)
    }

    /// How the disk is short, and what runs where that counts.
    async fn seen(&self) -> Result<(Option<String>, Vec<ContainerSummary>), EngineError> {
        let short = shortage(self.call, self.engine).await?;
        Ok((short, running::containers(self).await?))
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
        let waited = self.now()?.saturating_sub(self.ticket.entry.first);
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
        let now = self.now()?;
        let longest = self.call.settings.admission.wait.0 + KEEP;
        let old = |first: Duration| first > now || now.saturating_sub(first) > longest;
        for dead in others.iter().filter(|one| !one.alive && old(one.entry.first)) {
            self.queue.forget(&dead.entry, held);
        }
        Ok(())
    }
}

fn is_due(last: Option<Duration>, interval: Duration, now: Duration) -> bool {
    last.is_none_or(|at| now.saturating_sub(at) >= interval)
}
