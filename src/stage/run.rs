//! `run`: gives a stage's script to the agent of the right container and passes back what comes.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::agent::client::ClientError;
use crate::agent::protocol::{Exec, StageExit, StageSignal};
use crate::engine::Engine;
use crate::job::Stage;
use crate::joblog::JobLog;
use crate::outcome::Outcome;
use crate::secrets::{Secret, SecretSource};

use super::attach::{self, Agent};
use super::call::Call;
use super::ending::Ending;
use super::error::CallError;
use super::parent::Parent;
use super::sink::RunnerSink;
use super::timings::Timings;
use super::{again, broker, hint, lost, masking, prune, service_report, service_stream, verdict};

/// A stage as the runner asked for it.
pub struct Asked {
    /// Its name.
    pub stage: Stage,
    /// Its script, which carries all of the job's variables.
    pub script: Secret,
}

/// Runs a stage; once more, with containers made anew, where one has vanished and the job wants that.
///
/// # Errors
/// The job's own fault where its image cannot run a script; else ours.
pub async fn run<E: Engine, S: SecretSource>(
    call: &Call<'_>,
    engine: &E,
    source: &S,
    asked: Asked,
    sink: &RunnerSink,
) -> Result<Outcome, CallError> {
    let container = call.plan.container_name(call.plan.route(&asked.stage).container);
    let mut ending = Ending::watch()?;
    for _ in 1..again::attempts(call, &asked.stage) {
        match once(call, (engine, source), &asked, sink).await {
            // What the runner has ended it also cleans up: nobody would remove a container made then.
            Err(error) if ending.check().is_err() || call.is_orphaned() => return Err(error),
            Err(CallError::System { message }) if again::is_gone(engine, &container).await? => {
                drop(sink.line(&format!("longshore: {message}")).await);
                again::make(call, engine, source, sink).await?;
            }
            done => return done,
        }
    }
    once(call, (engine, source), &asked, sink).await
}

async fn once<E: Engine, S: SecretSource>(
    call: &Call<'_>,
    (engine, source): (&E, &S),
    asked: &Asked,
    sink: &RunnerSink,
) -> Result<Outcome, CallError> {
    let route = call.plan.route(&asked.stage);
    let container = call.plan.container_name(route.container);
    let mut timings = Timings::of(&call.context);
    let (mut agent, hello) = attach::open(engine, &container).await?;
    call.masks.add(hello.masks.into_iter().map(|value| value.0));
    timings.mark("attach");
    let mut exec = Exec {
        stage: asked.stage.to_string(),
        script: asked.script.clone().into(),
        user_stage: route.user_stage,
        env: Vec::new(),
        docker_socket: None,
    };
    let mut socket = broker::open(call, &mut exec, &mut agent, hello.secrets);
    let serving = Box::pin(async {
        match &mut socket {
            Some(socket) => socket.serve(call, engine, sink).await,
            None => std::future::pending().await,
        }
    });
    let wanted = route.user_stage && !call.plan.services.is_empty();
    let services = async {
        if wanted && service_stream::is_asked(call) {
            service_stream::follow(call, engine, &asked.stage, (sink, &call.masks.set())).await
        } else {
            std::future::pending().await
        }
    };
    let mut exit = tokio::select! {
        exit = see_through(call, engine, &mut agent, exec, sink) => exit?,
        broken = sink.keep_alive() => return Err(nobody_reads(&mut agent, &never(broken)).await),
        never = services => match never {},
        never = serving => match never {},
    };
    if let Some(socket) = &mut socket {
        socket.finish(call, sink).await;
    }
    // An attach that nobody reads from would hold up everyone else's.
    drop(agent);
    let added = std::mem::take(&mut exit.added_masks);
    masking::share(call, engine, (added, route.container), sink).await;
    timings.mark("stage");
    let outcome = conclude(call, (engine, source), &asked.stage, (&exit, sink)).await?;
    if wanted && outcome != Outcome::Success {
        tell_ended_services(call, engine, &asked.stage, sink).await;
    }
    timings.mark("after it");
    if let Some(line) = timings.line(None) {
        sink.line(&line).await.map_err(CallError::system)?;
    }
    Ok(outcome)
}

/// What comes of a stage that has ended, and what follows the last one.
async fn conclude<E: Engine, S: SecretSource>(
    call: &Call<'_>,
    (engine, source): (&E, &S),
    stage: &Stage,
    (exit, sink): (&StageExit, &RunnerSink),
) -> Result<Outcome, CallError> {
    if sink.has_sudo_failed() {
        sink.line(hint::NO_SUDO).await.map_err(CallError::system)?;
    }
    let outcome = verdict::of(call, exit, sink, call.plan.route(stage).user_stage).await?;
    if stage.is_last() {
        prune::after_delivery(call, engine, source, sink).await?;
    }
    Ok(outcome)
}

/// A service that is gone may well be why the stage failed.
async fn tell_ended_services<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    stage: &Stage,
    sink: &RunnerSink,
) {
    let mut told = Vec::new();
    {
        let mut log = JobLog::new(&mut told, call.world.clock);
        log.mask(call.masks.set());
        log.scope(&stage.to_string());
        service_report::of_ended(call, engine, &mut log).await;
    }
    // Where the runner takes nothing any more, the stage has said so.
    drop(sink.beside(Bytes::from(told)).await);
}

/// Sees the stage through: a TERM where it has to end, a new attach where the old one is lost.
async fn see_through<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    agent: &mut Agent,
    exec: Exec,
    sink: &RunnerSink,
) -> Result<StageExit, CallError> {
    let container = call.plan.container_name(call.plan.route(&Stage::new(&exec.stage)).container);
    let (controls, mut received) = mpsc::channel(2);
    let seen = async {
        let mut target = sink;
        match agent.exec(exec, &mut target, &mut received).await {
            Ok(exit) => Ok(exit),
            Err(ClientError::Refused(refusal)) => Err(verdict::refused(call, &refusal)),
            Err(ClientError::Sink { source }) => Err(nobody_reads(agent, &source).await),
            Err(error) if lost::is_lost(&error) => {
                let (position, tunnels) = (agent.position(), agent.tunnel_acceptor());
                let lost = lost::Lost { container: &container, position, cause: error, tunnels };
                lost.take_up(engine, sink, &mut received).await
            }
            Err(error) => Err(attach::failure(&container, &error)),
        }
    };
    tokio::select! {
        exit = seen => exit,
        failed = end_on_request(controls) => Err(never(failed)),
    }
}

/// The runner is gone: ends the stage rather than let it run on unseen.
async fn nobody_reads(agent: &mut Agent, source: &io::Error) -> CallError {
    let ended = agent.takeover().await.map_or_else(
        |error| format!("; the stage could not be ended: {error}"),
        |()| String::new(),
    );
    CallError::system(format!("the runner no longer takes the job log: {source}{ended}"))
}

fn never<E>(result: Result<Infallible, E>) -> E {
    match result {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Sends the stage a TERM when the runner asks for it, or when the runner itself has ended; a second
/// request kills. Never returns but with an error.
async fn end_on_request(controls: mpsc::Sender<StageSignal>) -> Result<Infallible, CallError> {
    let fail =
        |error: io::Error| CallError::system(format!("failed to watch for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let parent = Parent::watch().map_err(fail)?;
    asked(&mut terminate, &mut interrupt, parent).await;
    let _ = controls.send(StageSignal::Terminate).await;
    asked(&mut terminate, &mut interrupt, None).await;
    let _ = controls.send(StageSignal::Kill).await;
    std::future::pending().await
}

async fn asked(terminate: &mut Signal, interrupt: &mut Signal, parent: Option<Parent>) {
    let ended = async {
        match parent {
            Some(parent) => parent.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = ended => {}
    }
}
