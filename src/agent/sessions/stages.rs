//! One stage at a time: begun, taken up by another attach, signalled and ended, given up where its driver
//! falls silent. It leaves processes to `stage` and `reaper`, and answers nobody itself.

use tokio::time::{Duration, Instant};

use super::Agent;
use super::running::{self, Stage, Surroundings};
use crate::agent::outflow::Audience;
use crate::agent::protocol::{
    EndedBy, Exec, Refusal, Reply, Resume, SILENCE_ENDS, SILENCE_PAUSES, Session, StageExit,
    StageRecord, StageSignal,
};
use crate::agent::stage::Order;

impl Agent {
    pub(super) fn exec(&mut self, exec: &Exec, from: Audience) -> Result<(), Refusal> {
        if let Some(stage) = self.running_stage() {
            return Err(Refusal::Busy { stage: stage.name.clone() });
        }
        let container = self.container.as_ref().ok_or(Refusal::NotInitialised)?;
        let with = Surroundings {
            container,
            core: self.core,
            reaper: &self.reaper,
            outlets: &self.outlets,
            tunnel_numbers: &self.tunnel_numbers,
        };
        let (stage, running) = running::start(exec, from, &with)?;
        (self.stage, self.running) = (Some(stage), Some(running));
        Ok(())
    }

    pub(super) fn resume(&mut self, resume: Resume, from: Audience) -> Result<(), Refusal> {
        let stage = self.stage.as_ref().ok_or(Refusal::Idle)?;
        if stage.outflow.audience().session != resume.session {
            return Err(Refusal::NotYours { stage: stage.name.clone() });
        }
        stage.outflow.resume(from, resume.frame);
        stage.break_tunnels();
        Ok(())
    }

    pub(super) fn acknowledge(&self, session: Session, number: u64) {
        if let Some(stage) = self.stage_of(session) {
            stage.outflow.acknowledge(number);
        }
    }

    pub(super) fn signal(&self, session: Session, signal: StageSignal) -> Result<Reply, Refusal> {
        let stage = self.running_stage().ok_or(Refusal::Idle)?;
        if stage.outflow.audience().session != session {
            return Err(Refusal::NotYours { stage: stage.name.clone() });
        }
        let _ = stage.orders.send(Order { signal, by: EndedBy::Signal }); // ended this moment
        Ok(Reply::Done)
    }

    pub(super) fn takeover(&mut self, from: Audience) -> Option<Reply> {
        let Some(stage) = self.running_stage() else {
            return Some(Reply::Done);
        };
        let order = Order { signal: StageSignal::Terminate, by: EndedBy::Takeover };
        let _ = stage.orders.send(order); // ended this moment
        self.takeovers.push(from);
        None
    }

    /// The container is being stopped: what ends now is not the stage's own doing.
    pub(in crate::agent) fn stop(&self) {
        if let Some(stage) = self.running_stage() {
            let order = Order { signal: StageSignal::Terminate, by: EndedBy::Stop };
            let _ = stage.orders.send(order); // ended this moment
        }
    }

    /// Whether a stage runs now.
    pub(in crate::agent) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn running_stage(&self) -> Option<&Stage> {
        self.running.as_ref().and(self.stage.as_ref())
    }

    /// The running or last stage, where it is this session's.
    pub(super) fn stage_of(&self, session: Session) -> Option<&Stage> {
        self.stage.as_ref().filter(|stage| stage.outflow.audience().session == session)
    }

    /// The exit of the running stage; never resolves where none runs.
    pub(in crate::agent) async fn stage_exit(&mut self) -> Option<StageExit> {
        match &mut self.running {
            Some(running) => running.await.ok(),
            None => std::future::pending().await,
        }
    }

    pub(in crate::agent) fn note_exit(&mut self, exit: Option<&StageExit>) {
        self.running = None;
        self.given_up = false;
        if let (Some(stage), Some(exit)) = (&self.stage, exit) {
            let code = exit.status.shell_code();
            self.records.push(StageRecord { stage: stage.name.clone(), code });
        }
        for waiting in std::mem::take(&mut self.takeovers) {
            self.answer(waiting, Reply::Done);
        }
    }

    /// A driver that fell silent is dead or detached: first its stage is held, then ended.
    pub(in crate::agent) fn check_silence(&mut self) {
        let now = Instant::now();
        if let (Some(stage), Some(_)) = (&self.stage, &self.running) {
            let heard = self.heard.get(&stage.outflow.audience().session);
            let silence = heard.map_or(Duration::ZERO, |heard| now.duration_since(*heard));
            if silence >= SILENCE_PAUSES {
                stage.outflow.pause(true);
            }
            if silence >= SILENCE_ENDS && !self.given_up {
                self.given_up = true; // one TERM: a trap must not run each second
                let order = Order { signal: StageSignal::Terminate, by: EndedBy::Silence };
                let _ = stage.orders.send(order); // ended this moment
            }
        }
        let owner = self.stage.as_ref().map(|stage| stage.outflow.audience().session);
        self.heard.retain(|session, heard| {
            Some(*session) == owner || now.duration_since(*heard) < SILENCE_ENDS * 2
        });
    }
}
