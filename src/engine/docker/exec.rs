//! A command in a running container, from its creation to its exit code.

use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;

use super::DockerEngine;
use crate::engine::EngineError;

/// Runs it and waits for its end, at most as long as the daemon may work on one call.
pub(super) async fn run(
    engine: &DockerEngine,
    name: &str,
    command: &[String],
) -> Result<i64, EngineError> {
    let call = engine.work("run a command in container", name);
    let config = ExecConfig {
        // Attached, because the end of its output is how its end is heard of.
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.to_vec()),
        ..ExecConfig::default()
    };
    let made = call.run(engine.docker.create_exec(call.path()?, config)).await?;
    call.run(async {
        let started = engine.docker.start_exec(&made.id, None::<StartExecOptions>).await?;
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(piece) = output.next().await {
                piece?;
            }
        }
        Ok(())
    })
    .await?;
    let end = call.run(engine.docker.inspect_exec(&made.id)).await?;
    // None while it runs: its output has ended, so it has at least closed it.
    Ok(end.exit_code.unwrap_or(-1))
}
