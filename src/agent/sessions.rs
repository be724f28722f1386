//! Who may ask the agent what, and what runs: sessions, Init once, one stage at a time. It leaves
//! processes to `stage` and `reaper`, bytes to `wire`, connections to `tunnels`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Rlimit;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use super::container::Container;
use super::mask::{self, Addition};
use super::outflow::Audience;
use super::protocol::{
    EndedBy, Exec, Hello, Init, Probe, Refusal, Reply, Resume, SILENCE_ENDS, SILENCE_PAUSES,
    Session, StageExit, StageRecord, StageSignal, Stat, Verb, WireSecret,
};
use super::reaper::Reaper;
use super::request::Request;
use super::stage::Order;
use super::tunnels::{self, Outlets};
use super::wire::Frame;
use super::{memory, probe};
use running::{Stage, Surroundings};

mod running;

/// Who may ask what, and what runs.
pub(super) struct Agent {
    environment: Vec<(OsString, OsString)>,
    core: Rlimit,
    reaper: Arc<Reaper>,
    outlets: Outlets,
    additions: mpsc::Sender<Addition>,
    tunnel_numbers: Arc<tunnels::Numbers>,
    container: Option<Container>,
    /// When each session was heard last.
    heard: HashMap<Session, Instant>,
    records: Vec<StageRecord>,
    /// The stage that runs, or the last one, whose driver may still ask for its output.
    stage: Option<Stage>,
    running: Option<JoinHandle<StageExit>>,
    /// The running stage is being ended because its driver fell silent.
    given_up: bool,
    /// Sessions that wait for the running stage to be gone.
    takeovers: Vec<Audience>,
}

/// Where the agent's words go, and where those of its scripts come in.
pub(super) struct Ways {
    pub(super) outlets: Outlets,
    pub(super) additions: mpsc::Sender<Addition>,
}

impl Agent {
    pub(super) fn new(
        environment: Vec<(OsString, OsString)>,
        core: Rlimit,
        reaper: Arc<Reaper>,
        ways: Ways,
    ) -> Self {
        let Ways { outlets, additions } = ways;
        Self {
            environment,
            core,
            reaper,
            outlets,
            additions,
            tunnel_numbers: Arc::default(),
            container: None,
            heard: HashMap::new(),
            records: Vec::new(),
            stage: None,
            running: None,
            given_up: false,
            takeovers: Vec::new(),
        }
    }

    pub(super) fn handle(&mut self, request: Request) {
        let from = Audience { session: request.session, request: request.number };
        let Some(verb) = request.verb else {
            let _ = self.outlets.answers.send(Frame::version_only(from)); // the writer's end ends us
            return;
        };
        self.heard.insert(from.session, Instant::now());
        if let Some(stage) = self.stage_of(from.session) {
            stage.outflow.pause(false);
        }
        let reply = match verb {
            Verb::Hello => Ok(Some(self.hello())),
            Verb::Init(init) => self.init(init).map(Some),
            Verb::Exec(exec) => self.exec(&exec, from).map(|()| None),
            Verb::Resume(resume) => self.resume(resume, from).map(|()| None),
            Verb::Acknowledge(number) => {
                self.acknowledge(from.session, number);
                Ok(None)
            }
            Verb::Signal(signal) => self.signal(from.session, signal).map(Some),
            Verb::Ping => Ok(Some(Reply::Pong)),
            Verb::Stat => Ok(Some(Reply::Stat(self.stat()))),
            Verb::Takeover => Ok(self.takeover(from)),
            Verb::Mask(values) => self.mask_all(values).map(Some),
            Verb::Probe(probe) => {
                self.probe(probe, from);
                Ok(None)
            }
            Verb::Tunnel { channel, message } => {
                if let Some(stage) = self.stage_of(from.session) {
                    stage.tell_tunnel(channel, message);
                }
                Ok(None)
            }
        };
        if let Some(reply) = reply.unwrap_or_else(|refusal| Some(Reply::Refused(refusal))) {
            self.answer(from, reply);
        }
    }

    fn answer(&self, to: Audience, reply: Reply) {
        for frame in Frame::answer(to, reply) {
            let _ = self.outlets.answers.send(frame); // the writer's end ends us
        }
    }

    fn hello(&self) -> Reply {
        Reply::Hello(Hello {
            initialised: self.container.is_some(),
            running: self.running_stage().map(|stage| stage.name.clone()),
            stages: self.records.clone(),
            masks: self.container.as_ref().map(Container::mask_values).unwrap_or_default(),
            secrets: self.container.as_ref().map(Container::secrets).unwrap_or_default(),
        })
    }

    fn stat(&self) -> Stat {
        Stat {
            running: self.running_stage().map(|stage| stage.name.clone()),
            stages: self.records.clone(),
            memory: memory::facts(Path::new(memory::CGROUP)),
        }
    }

    fn init(&mut self, init: Init) -> Result<Reply, Refusal> {
        if self.container.is_some() {
            return Err(Refusal::AlreadyInitialised);
        }
        let container = Container::initialise(init, self.environment.clone())?;
        if let Some(path) = container.mask_socket() {
            // No reason to refuse the job: `mask add` fails then, and says what it could not reach.
            drop(mask::listen(Path::new(path), self.additions.clone()));
        }
        let report = container.report();
        self.container = Some(container);
        Ok(Reply::Ready(report))
    }

    fn mask_all(&self, values: Vec<WireSecret>) -> Result<Reply, Refusal> {
        let container = self.container.as_ref().ok_or(Refusal::NotInitialised)?;
        for value in values {
            container.mask(value.0).map_err(|why| Refusal::Unmaskable { why: why.to_string() })?;
        }
        Ok(Reply::Done)
    }

    /// Masks what a script named, and says so only then.
    pub(super) fn mask(&self, addition: Addition) {
        // Its listener begins with Init.
        let Some(container) = &self.container else { return };
        let _ = addition.answer.send(container.mask(addition.value)); // the script did not wait
    }

    fn exec(&mut self, exec: &Exec, from: Audience) -> Result<(), Refusal> {
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

    fn resume(&mut self, resume: Resume, from: Audience) -> Result<(), Refusal> {
        let stage = self.stage.as_ref().ok_or(Refusal::Idle)?;
        if stage.outflow.audience().session != resume.session {
            return Err(Refusal::NotYours { stage: stage.name.clone() });
        }
        stage.outflow.resume(from, resume.frame);
        stage.break_tunnels();
        Ok(())
    }

    fn acknowledge(&self, session: Session, number: u64) {
        if let Some(stage) = self.stage_of(session) {
            stage.outflow.acknowledge(number);
        }
    }

    fn signal(&self, session: Session, signal: StageSignal) -> Result<Reply, Refusal> {
        let stage = self.running_stage().ok_or(Refusal::Idle)?;
        if stage.outflow.audience().session != session {
            return Err(Refusal::NotYours { stage: stage.name.clone() });
        }
        let _ = stage.orders.send(Order { signal, by: EndedBy::Signal }); // ended this moment
        Ok(Reply::Done)
    }

    /// Answered once the services were tried; whoever asked may be gone by then.
    fn probe(&self, probe: Probe, from: Audience) {
        let answers = self.outlets.answers.clone();
        tokio::spawn(async move {
            let probed = probe::all(probe).await;
            for frame in Frame::answer(from, Reply::Probed(probed)) {
                let _ = answers.send(frame); // the writer's end ends us
            }
        });
    }

    fn takeover(&mut self, from: Audience) -> Option<Reply> {
        let Some(stage) = self.running_stage() else {
            return Some(Reply::Done);
        };
        let order = Order { signal: StageSignal::Terminate, by: EndedBy::Takeover };
        let _ = stage.orders.send(order); // ended this moment
        self.takeovers.push(from);
        None
    }

    /// The container is being stopped: what ends now is not the stage's own doing.
    pub(super) fn stop(&self) {
        if let Some(stage) = self.running_stage() {
            let order = Order { signal: StageSignal::Terminate, by: EndedBy::Stop };
            let _ = stage.orders.send(order); // ended this moment
        }
    }

    /// Whether a stage runs now.
    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    fn running_stage(&self) -> Option<&Stage> {
        self.running.as_ref().and(self.stage.as_ref())
    }

    /// The running or last stage, where it is this session's.
    fn stage_of(&self, session: Session) -> Option<&Stage> {
        self.stage.as_ref().filter(|stage| stage.outflow.audience().session == session)
    }

    /// The exit of the running stage; never resolves where none runs.
    pub(super) async fn stage_exit(&mut self) -> Option<StageExit> {
        match &mut self.running {
            Some(running) => running.await.ok(),
            None => std::future::pending().await,
        }
    }

    pub(super) fn note_exit(&mut self, exit: Option<&StageExit>) {
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
    pub(super) fn check_silence(&mut self) {
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
