//! One running stage, from its first process to the moment nothing of it is left. It decides nothing
//! about sessions; orders come in, an exit goes out.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::frame::Channel;
use super::launch::{Launched, ScriptPipe};
use super::memory;
use super::outflow::Outflow;
use super::protocol::{EndedBy, ExitStatus, GRACE, StageExit, StageSignal, WireSecret};
use super::pump::Pump;
use super::reaper::Reaper;
use super::tunnels::Tunnels;
use super::usage::Moment;
use crate::secrets::{MaskSet, Masker};

/// How long the last sweep waits for processes that do not die.
const SWEEP: Duration = Duration::from_secs(10);

/// How long output is still delivered once somebody else than its driver ended the stage.
const FAREWELL: Duration = Duration::from_secs(2);

/// Ends a stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) signal: StageSignal,
    pub(super) by: EndedBy,
}

/// What a supervision needs.
pub(super) struct Supervision {
    pub(super) reaper: Arc<Reaper>,
    pub(super) outflow: Arc<Outflow>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) masks: watch::Receiver<MaskSet>,
    pub(super) tunnels: Arc<Mutex<Option<Tunnels>>>,
}

/// Sees a stage through; its exit is also put at the end of the outflow.
pub(super) async fn supervise(
    mut with: Supervision,
    launched: Launched,
    exited: oneshot::Receiver<ExitStatus>,
) -> StageExit {
    let masked_before = with.masks.borrow().values().len();
    let cgroup = Path::new(memory::CGROUP);
    let killed_before = memory::facts(cgroup).oom_kills;
    let before = Moment::now(cgroup);
    let (swept, _) = watch::channel(false);
    let mut pumps = JoinSet::new();
    for (channel, pipe) in [(Channel::STDOUT, launched.stdout), (Channel::STDERR, launched.stderr)]
    {
        let mut masks = with.masks.clone();
        let masker = Masker::new(&masks.borrow_and_update());
        let (outflow, swept) = (Arc::clone(&with.outflow), swept.subscribe());
        pumps.spawn(Pump { channel, pipe, masker, masks, outflow, swept }.run());
    }
    let mut script = launched.script;
    let (status, ended_by) = with.first_process(exited, &mut script).await;
    let script_unread = script.is_unread();
    let survivors = with.reaper.sweep(SWEEP).await;
    swept.send_replace(true);
    with.close_tunnels().await;
    with.drain(&mut pumps, ended_by).await;
    let memory = memory::facts(cgroup);
    let oom_kills =
        memory.oom_kills.zip(killed_before).map_or(0, |(now, before)| now.saturating_sub(before));
    let added_masks = values_from(&with.masks.borrow(), masked_before);
    let usage = before.until_now(cgroup);
    let exit = StageExit {
        status,
        ended_by,
        oom_kills,
        memory,
        script_unread,
        survivors,
        added_masks,
        usage,
    };
    with.outflow.finish(exit.clone());
    exit
}

/// What the set has grown by since it had this many values.
fn values_from(masks: &MaskSet, count: usize) -> Vec<WireSecret> {
    masks.values().iter().skip(count).cloned().map(WireSecret).collect()
}

impl Supervision {
    /// Nothing of the stage is left that could use them; nothing listens between stages.
    async fn close_tunnels(&self) {
        let tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tunnels) = tunnels {
            tunnels.close().await;
        }
    }

    /// Feeds the script and obeys orders until the first process ends.
    async fn first_process(
        &mut self,
        mut exited: oneshot::Receiver<ExitStatus>,
        script: &mut ScriptPipe,
    ) -> (ExitStatus, Option<EndedBy>) {
        let mut ended_by = None;
        let mut kill_at: Option<Instant> = None;
        loop {
            let kill = async {
                match kill_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The reaper drops no sender before it has sent; an error cannot be.
                status = &mut exited => {
                    let stopped = std::iter::from_fn(|| self.orders.try_recv().ok())
                        .find(|order| order.by == EndedBy::Stop);
                    let ended_by = ended_by.or(stopped.map(|order| order.by));
                    return (status.unwrap_or(ExitStatus::Code(255)), ended_by);
                }
                () = script.feed(), if !script.is_fed() => {}
                Some(order) = self.orders.recv() => {
                    ended_by.get_or_insert(order.by);
                    kill_at = Some(self.obey(order, kill_at));
                }
                () = kill => {
                    self.reaper.signal(Signal::KILL);
                    kill_at = Some(Instant::now() + Duration::from_secs(1));
                }
            }
        }
    }

    /// Answers when KILL is due.
    fn obey(&self, order: Order, kill_at: Option<Instant>) -> Instant {
        let now = Instant::now();
        match order.signal {
            StageSignal::Kill => now,
            StageSignal::Terminate => {
                self.reaper.signal(Signal::TERM);
                // A stopped process gets its TERM only when it goes on.
                self.reaper.signal(Signal::CONT);
                kill_at.unwrap_or(now + GRACE)
            }
        }
    }

    /// Waits until all output is in the outflow. Once another than its driver ends the stage, the
    /// rest has to go quickly, as its driver may be dead and will never make room.
    async fn drain(&mut self, pumps: &mut JoinSet<()>, ended_by: Option<EndedBy>) {
        let mut deserted = ended_by.is_some_and(|by| by != EndedBy::Signal);
        loop {
            tokio::select! {
                done = pumps.join_next() => if done.is_none() { return },
                Some(order) = self.orders.recv(), if !deserted => {
                    deserted = order.by != EndedBy::Signal;
                }
                () = tokio::time::sleep(FAREWELL), if deserted => self.outflow.abandon(),
            }
        }
    }
}
