//! From a command line to a number: parses, calls the conductor, tells what failed. The only place
//! where errors become words on a stream.

use std::ffi::OsString;
use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use zeroize::Zeroizing;

use crate::agent::mask;
use crate::cli::{Cli, Command, MaskAddArgs, MaskCommand, RunArgs};
use crate::engine::EngineError;
use crate::engine::docker::{Deadlines, DockerEngine};
use crate::host::ledger::{self, Ending, Event};
use crate::host::reap::{self, Reap};
use crate::host::{self, gc, orphans, prune, status};
use crate::job::Stage;
use crate::joblog::JobLog;
use crate::joblog::output::Output;
use crate::outcome::{ExitNumbers, Outcome};
use crate::pipeline::local;
use crate::plan::MASK_SOCKET;
use crate::secrets::masker::{MAX_INLINE_VALUE, MIN_UNREMARKABLE};
use crate::secrets::{MaskSet, Secret};
use crate::settings::Settings;
use crate::stage::call::{self, Call};
use crate::stage::error::CallError;
use crate::stage::sink::RunnerSink;
use crate::stage::{admission, cleanup, config, leases, prepare, removal_lock, run, vault};
use crate::world::{Stdio, World};

/// Room in the pipe to the runner; with the default of 64 KiB a stage's output waits for every 64 KiB.
const LOG_PIPE_BYTES: usize = 256 * 1024;

/// The number of a command line that cannot be parsed, as clap has it.
const USAGE: u8 = 2;

/// Runs one command line and answers the number to end with.
pub fn run(words: &[OsString], world: &World, mut stdio: Stdio) -> u8 {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &mut stdio),
    };
    let settings = world.settings_path(cli.settings.as_deref());
    let numbers = numbers(world);
    let mut errors = stdio.errors();
    let outcome = match dispatch(cli.command, settings, world, stdio) {
        Ok(outcome) => outcome,
        Err(error) => {
            // Nobody is left to be told where stderr is gone too.
            drop(writeln!(errors, "ERROR: longshore: {}", masked(world, &error)));
            error.outcome()
        }
    };
    outcome.number(numbers)
}

/// The exit numbers that the runner asks for.
pub fn numbers(world: &World) -> ExitNumbers {
    ExitNumbers::read(
        world.variable("BUILD_FAILURE_EXIT_CODE"),
        world.variable("SYSTEM_FAILURE_EXIT_CODE"),
    )
}

fn usage(error: &clap::Error, stdio: &mut Stdio) -> u8 {
    let text = error.render();
    if error.use_stderr() {
        drop(write!(stdio.stderr, "{text}"));
        return USAGE;
    }
    drop(write!(stdio.stdout, "{text}"));
    0
}

/// Variables that GitLab marked as masked may stand in a path or an image's name.
fn masked(world: &World, error: &CallError) -> String {
    let values =
        call::read_context(world).map(|context| context.masked_values()).unwrap_or_default();
    String::from_utf8_lossy(&MaskSet::new(values).mask(error.to_string().as_bytes())).into_owned()
}

fn dispatch(
    command: Command,
    settings: PathBuf,
    world: &World,
    stdio: Stdio,
) -> Result<Outcome, CallError> {
    match command {
        Command::Config => answer_config(&Call::load(world, settings)?, stdio),
        Command::Prepare => {
            let call = Call::load(world, settings)?;
            let outcome = answer_prepare(&call, stdio).map_err(|error| error.masked(&call.masks));
            if outcome.is_err() {
                remember(&call, "prepare", &outcome);
            }
            outcome
        }
        Command::Run(args) => {
            let file = BuildExitCode::clear(world)?;
            let call = Call::load(world, settings)?;
            let outcome = answer_run(&call, &args, stdio);
            let outcome = outcome.map_err(|error| error.masked(&call.masks));
            remember(&call, &args.stage, &outcome);
            let outcome = outcome?;
            file.write(outcome)?;
            Ok(outcome)
        }
        Command::Cleanup => cleanup::hand_over(world, &settings),
        Command::Broker(command) => {
            host::broker::command(command, &call::read_settings(&settings)?, stdio)
        }
        Command::Init(args) => host::init::command(&args, &settings, world, stdio),
        Command::Plan => print_plan(&Call::load(world, settings)?, stdio),
        Command::Local(args) => block_on(local::run(*args, settings, world, stdio)),
        Command::Mask(MaskCommand::Add(args)) => mask_add(args, stdio),
        // main looks for it before all else.
        Command::Agent => Ok(Outcome::SystemFault),
        of_host => {
            let settings = call::read_settings(&settings)?;
            block_on(on_host(of_host, &settings, world, stdio))
        }
    }
}

/// The commands that look after the host and know no job.
async fn on_host(
    command: Command,
    settings: &Settings,
    world: &World,
    stdio: Stdio,
) -> Result<Outcome, CallError> {
    match command {
        Command::Reap(args) => {
            let engine = engine(settings);
            if args.orphans.force_orphans {
                return orphans::reset(&engine?, settings, world, &args, stdio).await;
            }
            let reap = Reap { engine: engine.as_ref(), settings, world };
            reap::command(reap, &args, stdio).await
        }
        Command::Gc(args) => gc::command(&engine(settings)?, settings, world, &args, stdio).await,
        Command::Prune(args) => {
            prune::command::command(&engine(settings)?, settings, world, &args, stdio).await
        }
        Command::Status(args) => {
            status::command(engine(settings), settings, world, &args, stdio).await
        }
        Command::Ledger(args) => ledger::show::command(settings, world, &args, stdio),
        Command::Vault(command) => host::vault::command(command, settings, world, stdio).await,
        Command::Worker => cleanup::work(&engine(settings)?, settings, world, stdio).await,
        // Those of a job, which are done before.
        _ => Ok(Outcome::SystemFault),
    }
}

/// Runs in a job's container, as a part of its script.
fn mask_add(args: MaskAddArgs, mut stdio: Stdio) -> Result<Outcome, CallError> {
    let value = match args.value {
        Some(value) => Secret::new(value.into_vec()),
        None => read_value(&mut stdio.stdin)?,
    };
    let socket = args.socket.unwrap_or_else(|| PathBuf::from(MASK_SOCKET));
    mask::add(&socket, &value).map_err(CallError::job)?;
    if value.expose().trim_ascii().len() < MIN_UNREMARKABLE {
        let mut errors = stdio.errors();
        // It is masked; nobody is left to be told the rest where stderr is gone.
        drop(writeln!(
            errors,
            "WARNING: longshore: the value has less than {MIN_UNREMARKABLE} bytes: other text that \
             holds them is masked too"
        ));
    }
    Ok(Outcome::Success)
}

fn read_value(stdin: &mut impl Read) -> Result<Secret, CallError> {
    let mut value = Zeroizing::new(Vec::with_capacity(MAX_INLINE_VALUE + 2));
    // One byte more than is allowed, so that the agent says so; nothing of it is moved by growing.
    let limit = u64::try_from(MAX_INLINE_VALUE + 1).unwrap_or(u64::MAX);
    stdin.take(limit).read_to_end(&mut value).map_err(|error| {
        CallError::job(format!("failed to read the value from standard input: {error}"))
    })?;
    if value.trim_ascii().is_empty() {
        return Err(CallError::job(
            "there is no value on standard input; write: printf %s \"$VALUE\" | longshore mask add",
        ));
    }
    Ok(Secret::new(value.as_slice()))
}

fn answer_config(call: &Call<'_>, mut stdio: Stdio) -> Result<Outcome, CallError> {
    // Only should the runner be killed is it missed.
    drop(reap::directories::note(call));
    let json = serde_json::to_string(&config::answer(call)).map_err(CallError::system)?;
    writeln!(stdio.stdout, "{json}").map_err(CallError::system)?;
    Ok(Outcome::Success)
}

fn print_plan(call: &Call<'_>, mut stdio: Stdio) -> Result<Outcome, CallError> {
    let json = serde_json::to_string_pretty(&call.plan).map_err(CallError::system)?;
    writeln!(stdio.stdout, "{json}").map_err(CallError::system)?;
    Ok(Outcome::Success)
}

fn answer_prepare(call: &Call<'_>, stdio: Stdio) -> Result<Outcome, CallError> {
    let outcome = block_on(async {
        let engine = engine(&call.settings)?.metered(&call.meter);
        let source = vault::source(&call.settings, call.world).of_job(call);
        settle(call).await?;
        reap::turn::start_when_due(call);
        let mut log = JobLog::new(stdio.stdout, call.world.clock);
        log.mask(call.masks.set());
        let admitted = Box::pin(admission::enter(call, &engine, &mut log)).await?;
        Box::pin(prepare::prepare(call, &engine, &source, &mut log)).await?;
        admitted.done();
        Ok(Outcome::Success)
    });
    unless_orphaned(call, outcome)
}

/// Lets the worker of this job's last try finish: it removes by the names that this try is about to use.
async fn settle(call: &Call<'_>) -> Result<(), CallError> {
    let settled = removal_lock::settle(&call.settings.run_dir, call.plan.key.as_str()).await;
    settled.map_err(|error| {
        CallError::system(format!("the cleanup of this job's last try does not end: {error}"))
    })
}

/// Where the runner was killed during this call, nobody else will ever call `cleanup` for its job.
fn unless_orphaned(
    call: &Call<'_>,
    outcome: Result<Outcome, CallError>,
) -> Result<Outcome, CallError> {
    if call.is_orphaned() {
        let removal = call.plan.removal();
        cleanup::start_worker(call.world, &call.settings_path, &call.settings, &removal)?;
    }
    outcome
}

fn answer_run(call: &Call<'_>, args: &RunArgs, stdio: Stdio) -> Result<Outcome, CallError> {
    let script = std::fs::read(&args.script).map_err(|error| {
        CallError::system(format!("failed to read the script {}: {error}", args.script.display()))
    })?;
    let asked = run::Asked { stage: Stage::new(&args.stage), script: Secret::new(script) };
    // Best effort: it may be no pipe, or the user's share of pipe memory is used up.
    let _ = rustix::pipe::fcntl_setpipe_size(&stdio.stdout, LOG_PIPE_BYTES);
    let outcome = block_on(async {
        let engine = engine(&call.settings)?;
        let output = Output::of_call(stdio.stdout, stdio.stderr);
        let sink = RunnerSink::new(output).masking(Arc::clone(&call.masks));
        let source = vault::source(&call.settings, call.world).of_job(call);
        let work = run::run(call, &engine, &source, asked, &sink);
        let outcome = Box::pin(leases::renewed(&source, &sink, work)).await;
        let written = sink.finish();
        let outcome = outcome?;
        written.map_err(|error| {
            CallError::system(format!("the runner closed the job log: {error}"))
        })?;
        Ok(outcome)
    });
    unless_orphaned(call, outcome)
}

/// How the stage went, for the ledger.
fn remember(call: &Call<'_>, stage: &str, outcome: &Result<Outcome, CallError>) {
    let told = outcome.as_ref().map_or_else(CallError::outcome, |outcome| *outcome);
    let (outcome, code) = match told {
        Outcome::Success | Outcome::Script(0) => (Ending::Success, None),
        Outcome::Script(code) => (Ending::JobFailure, Some(code)),
        Outcome::JobFault => (Ending::JobFailure, None),
        Outcome::SystemFault => (Ending::SystemFailure, None),
    };
    let (job, seconds) = (call.plan.key.as_str(), call.seconds());
    call.record(&Event::Stage { job, stage, outcome, code, seconds });
}

fn engine(settings: &Settings) -> Result<DockerEngine, EngineError> {
    let docker = &settings.docker;
    let certificates = docker.tls_cert_path.as_deref();
    DockerEngine::with_certificates(&docker.host, certificates, Deadlines::default())
}

fn block_on<T>(work: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| CallError::system(format!("failed to start: {error}")))?;
    let result = runtime.block_on(work);
    // A hijacked connection would be hung up gracefully, which takes the daemon's time for nothing.
    runtime.shutdown_background();
    result
}

/// `BUILD_EXIT_CODE_FILE`: one path for the whole job, so an earlier stage's number must not stay.
struct BuildExitCode(Option<PathBuf>);

impl BuildExitCode {
    fn clear(world: &World) -> Result<Self, CallError> {
        let path = world.variable("BUILD_EXIT_CODE_FILE").map(PathBuf::from);
        if let Some(path) = &path
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let path = path.display();
            return Err(CallError::system(format!("failed to remove the old {path}: {error}")));
        }
        Ok(Self(path))
    }

    fn write(&self, outcome: Outcome) -> Result<(), CallError> {
        let (Some(path), Some(text)) = (&self.0, outcome.exit_code_file()) else { return Ok(()) };
        std::fs::write(path, text).map_err(|error| {
            let path = path.display();
            CallError::system(format!("failed to write the script's exit code to {path}: {error}"))
        })
    }
}
