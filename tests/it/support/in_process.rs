//! Commands of the host run in the test's own process, for what only its caller can choose: deadlines of a
//! second, and the clock.

use std::fs;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use longshore::cli::{GcArgs, OrphanArgs, PruneArgs, ReapArgs};
use longshore::engine::{Deadlines, DockerEngine};
use longshore::host::reap::{self, Reap};
use longshore::host::{gc, prune};
use longshore::outcome::Outcome;
use longshore::settings::Settings;
use longshore::stage::error::CallError;
use longshore::world::{Stdio, World};

use super::real::{BINARY, Host};

/// A host's settings with a daemon and a clock.
pub struct InProcess {
    engine: DockerEngine,
    settings: Settings,
    world: World,
}

impl InProcess {
    /// Speaks to this daemon with a second for each request.
    pub fn new(host: &Host, docker: &str) -> Self {
        let second = Duration::from_secs(1);
        let deadlines = Deadlines { control: second, work: second, ..Deadlines::default() };
        let text = fs::read_to_string(host.settings()).unwrap();
        Self {
            engine: DockerEngine::new(docker, deadlines).unwrap(),
            settings: Settings::parse(&text, &host.settings()).unwrap(),
            world: World {
                environment: [].into(),
                executable: PathBuf::from(BINARY),
                directory: PathBuf::from("/"),
                platform: "linux/amd64",
                clock: SystemTime::now,
            },
        }
    }

    #[must_use]
    pub fn clock(mut self, clock: fn() -> SystemTime) -> Self {
        self.world.clock = clock;
        self
    }

    /// `longshore prune` of a repository after the delivery of a commit.
    pub async fn prune(&self, repository: &str, commit: &str) -> Result<Outcome, CallError> {
        let args = PruneArgs {
            plan: false,
            pipeline: None,
            project: None,
            repository: Some(repository.to_owned()),
            commit: Some(commit.to_owned()),
            json: false,
        };
        let (settings, world) = (&self.settings, &self.world);
        prune::command::command(&self.engine, settings, world, &args, nowhere()).await
    }

    /// `longshore reap`.
    pub async fn reap(&self) -> Result<Outcome, CallError> {
        let args = ReapArgs { plan: false, json: false, orphans: OrphanArgs::default() };
        let (settings, world) = (&self.settings, &self.world);
        reap::command(Reap { engine: Ok(&self.engine), settings, world }, &args, nowhere()).await
    }

    /// `longshore gc`.
    pub async fn gc(&self) -> Result<Outcome, CallError> {
        let args = GcArgs { plan: false, json: false };
        gc::command(&self.engine, &self.settings, &self.world, &args, nowhere()).await
    }
}

fn nowhere() -> Stdio {
    let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
    Stdio { stdin: null(), stdout: null(), stderr: null() }
}
