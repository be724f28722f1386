//! Who may ask the agent what: sessions, Init once, and what is answered at once. What runs is `stages`' affair,
//! bytes are `wire`'s, connections `tunnels`'.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Rlimit;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::container::Container;
use super::mask::{self, Addition};
use super::outflow::Audience;
use super::protocol::{
    Hello, Init, Probe, Refusal, Reply, Session, StageExit, StageRecord, Stat, Verb, WireSecret,
};
use super::reaper::Reaper;
use super::request::Request;
use super::tunnels::{self, Outlets};
use super::wire::Frame;
use super::{memory, probe};
use running::Stage;

mod running;
mod stages;

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
}
