//! `longshore local`: puts together what a pipeline needs, runs it, and tells how it went.

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
use super::facts::{self, token};
use super::git_http::GitRepository;
use super::job_run::{Caller, Ending, JobRun};
use super::listing;
use super::model::Pipeline;
use super::report::{self, Row};
use super::schedule::{self, Planned, Schedule};
use super::server::{self, Served};
use super::signals;
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
        let files = workspace(&parent_of_scripts(&self.world), "plan")?;
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
        schedule::check(&planned).map_err(CallError::system)?;
        let scripts = workspace(&parent_of_scripts(&self.world), "scripts")?;
        let artifacts = workspace(&parent_of_artifacts(&self.world), "artifacts")?;
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
        let watching = tokio::spawn(signals::watch(cancel, console.clone()));
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

    /// Where containers reach us.
    async fn address(&self) -> Result<IpAddr, CallError> {
        if let Some(address) = self.args.listen {
            return Ok(address);
        }
        let settings = read_settings(&self.settings)?;
        let (docker, deadlines) = (&settings.docker, Deadlines::default());
        let certificates = docker.tls_cert_path.as_deref();
        let engine = DockerEngine::with_certificates(&docker.host, certificates, deadlines)?;
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
        let facts = facts::gather(&self.args, &self.world, self.source.clone(), server_url)?;
        let (world, settings) = (self.world.clone(), self.settings.clone());
        Ok(Caller { world, settings, facts, cancelled })
    }
}

fn workspace(parent: &Path, what: &str) -> Result<Workspace, CallError> {
    let name = format!("longshore-local-{what}-{}", token());
    Workspace::new(parent, &name).map_err(|error| {
        let parent = parent.display();
        CallError::system(format!("failed to make a directory in {parent}: {error}"))
    })
}
