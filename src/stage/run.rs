//! `run`: gives a stage's script to the agent of the right container and passes back what comes.

use std::convert::Infallible;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::agent::client::ClientError;
use crate::agent::protocol::{Exec, StageExit, StageSignal};
use crate::engine::Engine;
use crate::job::Stage;
use crate::outcome::Outcome;
use crate::secrets::Secret;

use super::attach::{self, Agent};
use super::call::Call;
use super::error::CallError;
use super::parent::Parent;
use super::sink::RunnerSink;
use super::{lost, prune, verdict};

/// A stage as the runner asked for it.
pub struct Asked {
    /// Its name.
    pub stage: Stage,
    /// Its script, which carries all of the job's variables.
    pub script: Secret,
}

/// Runs a stage.
///
/// # Errors
/// The job's own fault where its image cannot run a script; else ours.
pub async fn run<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    asked: Asked,
    sink: &RunnerSink,
) -> Result<Outcome, CallError> {
    let route = call.plan.route(&asked.stage);
    let container = call.plan.container_name(route.container);
    let (mut agent, _) = attach::open(engine, &container).await?;
    let exec = Exec {
        stage: asked.stage.to_string(),
        script: asked.script.into(),
        user_stage: route.user_stage,
        env: Vec::new(),
    };
    let exit = match follow(&mut agent, exec, sink).await? {
        Ok(exit) => exit,
        Err(ClientError::Refused(refusal)) => return Err(verdict::refused(call, &refusal)),
        Err(error) if lost::is_lost(&error) => {
            lost::take_up(engine, &container, agent.position(), sink, &error).await?
        }
        Err(error) => return Err(attach::failure(&container, &error)),
    };
    let outcome = verdict::of(call, &exit, sink).await?;
    if asked.stage.is_last() {
        prune::after_delivery(call, engine, sink).await?;
    }
    Ok(outcome)
}

/// Sees the stage through, with a keep-alive where it is silent and a TERM where it has to end.
///
/// # Errors
/// When nobody takes the output any more; the stage is ended then.
async fn follow(
    agent: &mut Agent,
    exec: Exec,
    sink: &RunnerSink,
) -> Result<Result<StageExit, ClientError>, CallError> {
    let (controls, mut received) = mpsc::channel(2);
    let mut target = sink;
    let exit = tokio::select! {
        exit = agent.exec(exec, &mut target, &mut received) => exit,
        broken = sink.keep_alive() => Err(ClientError::Sink { source: never(broken) }),
        failed = end_on_request(controls) => return Err(never(failed)),
    };
    let Err(ClientError::Sink { source }) = exit else { return Ok(exit) };
    // The runner is gone. End the stage rather than let it run on unseen.
    agent.takeover().await.map_err(CallError::system)?;
    Err(CallError::system(format!("the runner no longer takes the job log: {source}")))
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
    let fail = |error: io::Error| CallError::system(format!("failed to watch for signals: {error}"));
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
