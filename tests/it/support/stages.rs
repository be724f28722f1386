//! One job's life in this process: the conductors over the stand-in engine, with the compiled binary's
//! agent as the process of each container, in a pid namespace of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Stdio as Pipe;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use longshore::cli::{OrphanArgs, ReapArgs};
use longshore::engine::{Engine as _, ImageFacts};
use longshore::host::owner;
use longshore::host::reap::{self, Reap};
use longshore::job::{JobContext, Stage};
use longshore::joblog::JobLog;
use longshore::joblog::output::Output;
use longshore::outcome::Outcome;
use longshore::plan::owner::Owner;
use longshore::plan::{self, HostFacts, SecretRef, container::Labels};
use longshore::secrets::{Fetched, FetchedSecret, Secret, SecretError, SecretSource};
use longshore::settings::{Capacity, Settings};
use longshore::stage::admission::{self, Pace};
use longshore::stage::call::Call;
use longshore::stage::error::CallError;
use longshore::stage::sink::RunnerSink;
use longshore::stage::{agent_volume, cleanup, prepare, run};
use longshore::world::{Stdio, World};
use tempfile::TempDir;
use tokio::io::copy;
use tokio::process::Command;

use super::fake_engine::FakeEngine;
use super::fake_engine::process::{Pipes, Process};
use super::job_json::FakeJob;

/// The label that each object of a job carries, and nothing that belongs to the host.
pub(crate) const OF_A_JOB: &str = "longshore.job";
pub(crate) const SECRET: &str = "value-of-the-secret";

/// A source that has one value for everything.
pub(crate) struct OneSecret;

impl SecretSource for OneSecret {
    async fn fetch(&self, wanted: &[SecretRef]) -> Result<Fetched, SecretError> {
        let fetched =
            |one: &SecretRef| FetchedSecret { name: one.name.clone(), value: Secret::new(SECRET) };
        Ok(Fetched { secrets: wanted.iter().map(fetched).collect(), ..Fetched::default() })
    }
}

/// What a test reads while somebody writes it.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A host with the stand-in engine and one job whose runner has long ended.
pub(crate) struct Life {
    pub(crate) engine: FakeEngine,
    pub(crate) log: Shared,
    world: World,
    settings: Settings,
    context: JobContext,
    directory: TempDir,
}

impl Life {
    /// A delivery job with a helper, a secret, an image to pull and two references to prune.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// The same, with these further tables in the settings.
    pub(crate) fn with(tables: &str) -> Self {
        let directory = TempDir::with_prefix("longshore-test-life-").unwrap();
        let settings = settings(&directory, tables);
        let job = FakeJob::new().stage("delivery").image("job:1").sources("git://h/p.git", "0123");
        let builds = format!("{}/project", settings.builds_dir);
        let variables = [
            ("CI_PROJECT_DIR", builds.as_str()),
            ("GIT_STRATEGY", "fetch"),
            ("LONGSHORE_SECRETS", "KEY"),
        ];
        let variables: BTreeMap<String, String> =
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let context = JobContext::new(variables, &job.response_bytes()).unwrap();
        Self {
            engine: engine(),
            log: Shared::default(),
            world: World {
                environment: BTreeMap::new(),
                executable: PathBuf::from(env!("CARGO_BIN_EXE_longshore")),
                directory: directory.path().to_path_buf(),
                platform: "linux/amd64",
                clock: SystemTime::now,
            },
            settings,
            context,
            directory,
        }
    }

    fn call(&self) -> Call<'_> {
        let owner = Owner {
            boot_id: "another boot".into(),
            pid_namespace: String::new(),
            pid: 1,
            start_time: 1,
        };
        let volume = agent_volume::name(&self.world.executable).unwrap();
        let capacity = Capacity { memory_bytes: 8 << 30, cpus: 2 };
        let host =
            HostFacts { owner, agent_volume: volume, now: owner::now(&self.world), capacity };
        Call {
            world: &self.world,
            settings_path: self.directory.path().join("longshore.toml"),
            settings: self.settings.clone(),
            context: self.context.clone(),
            plan: plan::compile(&self.context, &self.settings, &host).unwrap(),
            masks: std::sync::Arc::default(),
            began: (self.world.clock)(),
            parent: rustix::process::getppid(),
            // Every call of it is taken to have ended.
            own: None,
            meter: longshore::engine::meter::Meter::default(),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// From now on it goes by this clock.
    pub(crate) fn clock(&mut self, clock: fn() -> SystemTime) {
        self.world.clock = clock;
    }

    /// Waits for its place on the host, at this pace.
    pub(crate) async fn enter(&self, pace: Pace, out: impl Write) -> Result<(), CallError> {
        let mut log = JobLog::new(out, SystemTime::now);
        let admitted = admission::enter_at(pace, &self.call(), &self.engine, &mut log).await?;
        admitted.done();
        Ok(())
    }

    pub(crate) fn container(&self) -> String {
        self.call().plan.container_name(plan::Role::Job)
    }

    pub(crate) async fn prepare(&self) -> Result<(), CallError> {
        let mut log = JobLog::new(self.log.clone(), SystemTime::now);
        prepare::prepare(&self.call(), &self.engine, &OneSecret, &mut log).await
    }

    pub(crate) async fn run(&self, stage: &str, script: &str) -> Result<Outcome, CallError> {
        let sink = RunnerSink::new(Output::start(self.log.clone(), self.log.clone()));
        let asked = run::Asked { stage: Stage::new(stage), script: Secret::new(script) };
        let outcome = run::run(&self.call(), &self.engine, &OneSecret, asked, &sink).await;
        sink.finish().unwrap();
        outcome
    }

    /// The worker's part of a cleanup.
    pub(crate) async fn cleanup(&self) -> Result<Outcome, CallError> {
        let plan = serde_json::to_vec(&self.call().plan.removal()).unwrap();
        cleanup::work(&self.engine, &self.settings, &self.world, stdio(&plan)).await
    }

    /// A slot that an earlier job left.
    pub(crate) async fn spare_slot(&self) {
        let labels = Labels::from([("longshore.kind".to_owned(), "slot".to_owned())]);
        self.engine.create_network("longshore-slot-1", None, &labels).await.unwrap();
    }

    pub(crate) async fn reap(&self) -> Result<Outcome, CallError> {
        let args = ReapArgs { plan: false, json: false, orphans: OrphanArgs::default() };
        let (engine, settings, world) = (Ok(&self.engine), &self.settings, &self.world);
        reap::command(Reap { engine, settings, world }, &args, stdio(b"")).await
    }
}

/// These bytes to read, and nowhere to write to.
fn stdio(input: &[u8]) -> Stdio {
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(input).unwrap();
    stdin.seek(SeekFrom::Start(0)).unwrap();
    let sink = || File::options().write(true).open("/dev/null").unwrap();
    Stdio { stdin, stdout: sink(), stderr: sink() }
}

/// All directories below this one: the agents run on the test's own file system.
fn settings(directory: &TempDir, tables: &str) -> Settings {
    let path = directory.path().display();
    let text = format!(
        "builds_dir = \"{path}/builds\"\ncache_dir = \"{path}/cache\"\nstate_dir = \"{path}/state\"\n\
         run_dir = \"{path}/run\"\n[docker]\nhelper_image = \"helper:1\"\n\
         pull_policy = [\"if-not-present\"]\n[vault]\naddress = \"https://127.0.0.1:1\"\n\
         [vault.approle]\nrole_id_file = \"/none\"\nsecret_id_file = \"/none\"\n\
         [secrets.KEY]\npath = \"kv/a\"\nfield = \"b\"\nprojects = [\"**\"]\n{tables}"
    );
    Settings::parse(&text, directory.path()).unwrap()
}

fn engine() -> FakeEngine {
    let facts = |id: &str| ImageFacts { id: id.to_owned(), ..ImageFacts::default() };
    let delivered = "registry.example/group/project";
    FakeEngine::new()
        .offering("job:1", facts("sha256:job"))
        .with_image("helper:1", facts("sha256:helper"), Labels::new())
        .with_image(&format!("{delivered}:test"), facts("sha256:test"), Labels::new())
        .with_image(&format!("{delivered}:latest"), facts("sha256:latest"), Labels::new())
        .with_empty_agent_volume()
        .launching(|_plan, pipes| agent(pipes))
}

/// A `/dev` of its own, as a container has: the agent listens there.
const OWN_DEV: &str = "mount -t tmpfs tmpfs /mnt && touch /mnt/null && \
                       mount --bind /dev/null /mnt/null && mount --move /mnt /dev && exec \"$@\"";

/// The real agent, as PID 1; it ends with its container.
fn agent(pipes: Pipes) -> Process {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", OWN_DEV, "sh"])
        .args([env!("CARGO_BIN_EXE_longshore"), "agent"])
        .stdin(Pipe::piped())
        .stdout(Pipe::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    Box::pin(async move {
        let Pipes { stdin: mut typed, stdout: mut told, stderr: _kept } = pipes;
        tokio::select! {
            _ = copy(&mut typed, &mut stdin) => {}
            _ = copy(&mut stdout, &mut told) => {}
        }
        i64::from(child.wait().await.unwrap().code().unwrap_or(137))
    })
}
