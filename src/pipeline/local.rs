//! `longshore local`: puts together what a pipeline needs, runs it, and tells how it went.

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::engine::Engine;
use crate::engine::docker::{Deadlines, DockerEngine};
use crate::outcome::Outcome;
use crate::stage::call::read_settings;
use crate::stage::error::CallError;
use crate::world::{Stdio, World};

use super::args::LocalArgs;
use super::artifact_store::ArtifactStore;
use super::console::Console;
use super::git_http::GitRepository;
use super::given;
use super::job_run::{Caller, Ending, JobRun};
use super::listing;
use super::model::Pipeline;
use super::report::{self, Row};
use super::schedule::{self, Planned, Schedule};
use super::server::{self, Served};
use super::source::Source;
use super::spec::PipelineFacts;
use super::workspace::{Workspace, parent_of_artifacts, parent_of_scripts};
use super::yaml;

/// Everything that is known before anything runs.
struct Ready {
    args: LocalArgs,
    settings: PathBuf,
    pipeline: Pipeline,
    source: Source,
    world: World,
}

/// Runs the command.
///
/// # Errors
/// When there is no pipeline to run, or no place to run it; a job that fails is no error.
pub async fn run(
    args: LocalArgs,
    settings: PathBuf,
    world: &World,
    stdio: Stdio,
) -> Result<Outcome, CallError> {
    let source = Source::read(&args, world)?;
    let file = args.file.display().to_string();
    let pipeline = yaml::parse(&source.ci_file(&args, world)?, &file).map_err(CallError::system)?;
    let unknown = args.jobs.iter().find(|name| pipeline.jobs.iter().all(|job| job.name != **name));
    if let Some(name) = unknown {
        return Err(CallError::system(format!(
            "{file} has no job {name:?}; see `longshore local --list`"
        )));
    }
    let settings = world.directory.join(settings);
    let ready = Ready { args, settings, pipeline, source, world: world.clone() };
    if ready.args.list {
        return ready.list(stdio);
    }
    if ready.args.dry_run {
        return ready.dry_run(stdio).await;
    }
    ready.run(stdio).await
}

impl Ready {
    fn list(self, mut stdio: Stdio) -> Result<Outcome, CallError> {
        let (_, cancelled) = watch::channel(false);
        let caller = self.caller("http://127.0.0.1:0".to_owned(), cancelled)?;
        let planned = schedule::plan(&self.pipeline, &caller, &self.args.jobs);
        let text = listing::table(&self.pipeline.stages, &planned);
        stdio.stdout.write_all(text.as_bytes()).map_err(CallError::system)?;
        Ok(Outcome::Success)
    }

    async fn dry_run(self, mut stdio: Stdio) -> Result<Outcome, CallError> {
        let (_cancel, cancelled) = watch::channel(false);
        let caller = self.caller("http://127.0.0.1:0".to_owned(), cancelled)?;
        let planned = schedule::plan(&self.pipeline, &caller, &self.args.jobs);
        let console =
            self.console(Box::new(stdio.stderr.try_clone().map_err(CallError::system)?), false);
        let files = self.workspace(&parent_of_scripts(&self.world), "plan")?;
        let schedule = self.schedule(Arc::new(caller), console, &files, &files);
        for one in planned.iter().filter(|one| listing::runs(one)) {
            let lines = schedule.console.job(&one.job.name, one.index);
            let spec = schedule.spec(one, &|text| lines.error(text));
            let run = JobRun::new(Arc::clone(&schedule.caller), spec, lines, files.path());
            match run.map_err(CallError::system)?.plan().await {
                Ok(plan) => stdio.stdout.write_all(&plan).map_err(CallError::system)?,
                Err(Ending::ScriptFailed(_)) => return Ok(Outcome::JobFault),
                Err(ending) => {
                    return Err(CallError::system(format!("{}: {ending:?}", one.job.name)));
                }
            }
        }
        Ok(Outcome::Success)
    }

    async fn run(self, stdio: Stdio) -> Result<Outcome, CallError> {
        let (cancel, cancelled) = watch::channel(false);
        let (listener, address) = server::bind(self.address().await?).await.map_err(|error| {
            CallError::system(format!(
                "failed to listen: {error}\n  name an address of this host with --listen"
            ))
        })?;
        let caller = Arc::new(self.caller(format!("http://{address}"), cancelled)?);
        let planned = schedule::plan(&self.pipeline, &caller, &self.args.jobs);
        let scripts = self.workspace(&parent_of_scripts(&self.world), "scripts")?;
        let artifacts = self.workspace(&parent_of_artifacts(&self.world), "artifacts")?;
        let (log, answer) =
            if self.args.json { (stdio.stderr, Some(stdio.stdout)) } else { (stdio.stdout, None) };
        let colour = log.is_terminal() && self.world.variable("NO_COLOR").is_none();
        let console = self.console(Box::new(log), colour);
        self.head(&console, &caller.facts);
        let schedule = self.schedule(caller, console.clone(), &scripts, &artifacts);
        let served = Served {
            store: Arc::clone(&schedule.store),
            repository: GitRepository {
                directory: self.source.directory.clone(),
                world: self.world.clone(),
            },
            project: schedule.caller.facts.project.clone(),
        };
        let serving = tokio::spawn(server::serve(listener, Arc::new(served)));
        let watching = tokio::spawn(watch_signals(cancel, console.clone()));
        let iid = schedule.caller.facts.pipeline_iid;
        let rows = self.play(schedule, planned).await;
        serving.abort();
        watching.abort();
        self.tell(&rows, iid, &console, answer)
    }

    async fn play(&self, schedule: Schedule, planned: Vec<Planned>) -> Vec<Row> {
        schedule.run(planned, self.args.side_by_side).await
    }

    fn head(&self, console: &Console, facts: &PipelineFacts) {
        let short = self.source.sha.get(..8).unwrap_or_default();
        console.line(&format!(
            "Pipeline {} of {} at {short} ({}): {}",
            facts.pipeline_iid,
            facts.project,
            self.source.reference,
            self.source.title()
        ));
        if self.source.is_dirty(&self.world) {
            console.line("WARNING: changes that are not committed are not part of the jobs");
        }
    }

    fn tell(
        &self,
        rows: &[Row],
        iid: u64,
        console: &Console,
        answer: Option<std::fs::File>,
    ) -> Result<Outcome, CallError> {
        console.line("");
        console.bytes(report::table(rows, console.colour()).as_bytes());
        let result = report::result(rows);
        console.line(&format!("Pipeline {result}"));
        if let Some(mut answer) = answer {
            let json = report::json(rows, iid, &self.source.sha);
            writeln!(answer, "{json:#}").map_err(CallError::system)?;
        }
        Ok(if result == "passed" { Outcome::Success } else { Outcome::Script(1) })
    }

    fn console(&self, out: Box<dyn Write + Send>, colour: bool) -> Console {
        let names = self.pipeline.jobs.iter().map(|job| job.name.chars().count());
        Console::new(out, colour, names.max().unwrap_or_default())
    }

    fn schedule(
        &self,
        caller: Arc<Caller>,
        console: Console,
        scripts: &Workspace,
        artifacts: &Workspace,
    ) -> Schedule {
        Schedule {
            pipeline: self.pipeline.clone(),
            caller,
            store: Arc::new(ArtifactStore::new(artifacts.path().to_owned())),
            console,
            scripts: scripts.path().to_owned(),
            tokens: self.pipeline.jobs.iter().map(|_| token()).collect(),
            rows: Vec::new(),
        }
    }

    fn workspace(&self, parent: &std::path::Path, what: &str) -> Result<Workspace, CallError> {
        let name = format!("longshore-local-{what}-{}", token());
        Workspace::new(parent, &name).map_err(|error| {
            CallError::system(format!(
                "failed to make a directory in {}: {error}",
                parent.display()
            ))
        })
    }

    /// Where containers reach us.
    async fn address(&self) -> Result<IpAddr, CallError> {
        if let Some(address) = self.args.listen {
            return Ok(address);
        }
        let settings = read_settings(&self.settings)?;
        let engine = DockerEngine::new(&settings.docker.host, Deadlines::default())?;
        let gateway = engine.gateway("bridge").await?;
        let address = gateway.and_then(|text| text.parse().ok());
        address.ok_or_else(|| {
            CallError::system(
                "Docker's default bridge has no gateway address to serve sources and artifacts at\n  name \
                 an address of this host that containers reach with --listen",
            )
        })
    }

    fn caller(
        &self,
        server_url: String,
        cancelled: watch::Receiver<bool>,
    ) -> Result<Caller, CallError> {
        let now = (self.world.clock)();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let project = self.args.project.clone().unwrap_or_else(|| self.project());
        let facts = PipelineFacts {
            source: self.source.clone(),
            project_id: number(&project),
            project,
            // Names of containers follow from it: two pipelines of one second must differ.
            pipeline_id: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            pipeline_iid: self.args.pipeline_iid.unwrap_or(since.as_secs()),
            server_url,
            created_at: humantime::format_rfc3339_seconds(now).to_string(),
            given: given::variables(&self.args, &self.world.directory)?,
        };
        Ok(Caller { world: self.world.clone(), settings: self.settings.clone(), facts, cancelled })
    }

    /// `local/NAME`, after the directory; `.git` of a bare repository is no part of the name.
    fn project(&self) -> String {
        let name =
            self.source.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("local/{}", name.strip_suffix(".git").unwrap_or(&name))
    }
}

/// The first signal cancels the pipeline; the jobs' own time limits take care of the rest.
async fn watch_signals(cancel: watch::Sender<bool>, console: Console) {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else { return };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        if !cancel.send_replace(true) {
            console.line("Cancelling: jobs are stopped and cleaned up");
        }
    }
}

/// A number for a project that has none: stable, so that what is kept by project is found again.
fn number(project: &str) -> u64 {
    let digest = Sha256::digest(project.as_bytes());
    digest.iter().take(4).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// 20 random bytes as hex; opens sources and artifacts to one job.
fn token() -> String {
    let mut bytes = [0_u8; 20];
    // The pool is ready long before any user space; a token of zeros would still only open this pipeline.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
