//! An attach that broke in the middle of a stage: takes the stage up again where the container lives on
//! (a daemon restarted with live-restore), else says what became of it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::agent::client::{ClientError, Position, Tunnel};
use crate::agent::protocol::{StageExit, StageSignal};
use crate::engine::{ContainerState, Engine, EngineError, Fault};

use super::attach;
use super::error::CallError;
use super::sink::RunnerSink;

/// How long a daemon may be away. The agent ends a stage whose driver is silent for 30 s.
const AWAY: Duration = Duration::from_secs(25);

/// Time between two looks whether the daemon is back; there is no event to wait for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Whether this is a lost attach rather than an answer.
pub fn is_lost(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Gone
            | ClientError::Output { .. }
            | ClientError::Input { .. }
            | ClientError::Deadline { .. }
    )
}

/// A stage whose attach was lost.
pub struct Lost<'a> {
    /// Its container.
    pub container: &'a str,
    /// Where it is to be taken up.
    pub position: Position,
    /// How it was lost.
    pub cause: ClientError,
    /// Who takes its Docker clients' connections.
    pub tunnels: Option<mpsc::UnboundedSender<Tunnel>>,
}

impl Lost<'_> {
    /// Takes the stage up where it was lost.
    ///
    /// # Errors
    /// Ours: the daemon stays away, or the container is gone with its stage. The job's: the container
    /// was killed for its memory.
    pub async fn take_up<E: Engine>(
        mut self,
        engine: &E,
        sink: &RunnerSink,
        controls: &mut mpsc::Receiver<StageSignal>,
    ) -> Result<StageExit, CallError> {
        let deadline = Instant::now() + AWAY;
        loop {
            let state = wait_for_daemon(engine, self.container, deadline).await?;
            running(self.container, state, &self.cause)?;
            // A restarting daemon may answer before it lets anybody attach.
            let Ok((mut agent, _)) = attach::open(engine, self.container).await else {
                if Instant::now() >= deadline {
                    return Err(attach::failure(self.container, &self.cause));
                }
                sleep(LOOK_EVERY).await;
                continue;
            };
            if let Some(acceptor) = &self.tunnels {
                agent.accept_tunnels(acceptor.clone());
            }
            let mut target = sink;
            match agent.resume(self.position, &mut target, controls).await {
                Ok(exit) => return Ok(exit),
                Err(error) if is_lost(&error) && Instant::now() < deadline => {
                    self.position = agent.position();
                    self.cause = error;
                }
                Err(error) => return Err(attach::failure(self.container, &error)),
            }
        }
    }
}

async fn wait_for_daemon<E: Engine>(
    engine: &E,
    container: &str,
    deadline: Instant,
) -> Result<Option<ContainerState>, EngineError> {
    loop {
        match engine.inspect(container).await {
            Err(error) if is_away(error.fault) && Instant::now() < deadline => {
                sleep(LOOK_EVERY).await;
            }
            other => return other,
        }
    }
}

fn is_away(fault: Fault) -> bool {
    matches!(fault, Fault::NoSocket | Fault::Unreachable | Fault::Daemon)
}

fn running(
    container: &str,
    state: Option<ContainerState>,
    cause: &ClientError,
) -> Result<(), CallError> {
    match state {
        Some(state) if state.running => Ok(()),
        Some(state) if state.oom_killed => Err(CallError::job(format!(
            "the container {container} was killed for its memory\n  use less, or ask the operator of \
             this runner for more ([limits] memory)"
        ))),
        Some(state) => Err(CallError::system(format!(
            "the container {container} ended during the stage with {}: the daemon was restarted without \
             live-restore, or somebody stopped it",
            state.exit_code
        ))),
        None => Err(CallError::system(format!(
            "the container {container} is gone ({cause}): somebody removed it during the stage"
        ))),
    }
}
