//! Asks one of Docker's credential helpers, `docker-credential-NAME get`, for a login. The server's name goes
//! in and the login comes out through pipes; nothing of it is written down or told.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::plan::login::Login;
use crate::secrets::Secret;
use crate::world::World;

/// Helpers of clouds ask a server of theirs.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a helper says where it has nothing. Source: docker-credential-helpers.
const NOT_FOUND: &str = "credentials not found";

/// A helper that gave no answer. Its output is not told: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It cannot be started.
    #[error(
        "failed to start docker-credential-{helper} for {server}: {source}; is it on the runner's PATH?"
    )]
    Start {
        /// Its name.
        helper: String,
        /// What it was to be asked.
        server: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It does not end.
    #[error("docker-credential-{helper} gave no login for {server} within {} s", PATIENCE.as_secs())]
    Late {
        /// Its name.
        helper: String,
        /// What it was asked.
        server: String,
    },
    /// It failed, or answered something else.
    #[error(
        "docker-credential-{helper} failed for {server} ({status}); try it by hand: echo {server} | docker-credential-{helper} get"
    )]
    Failed {
        /// Its name.
        helper: String,
        /// What it was asked.
        server: String,
        /// How it ended.
        status: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The login that a helper has for a server; `None` where it has none.
///
/// # Errors
/// When it cannot be started, does not end, or fails.
pub async fn get(world: &World, helper: &str, server: &str) -> Result<Option<Login>, HelperError> {
    let (name, asked) = (helper.to_owned(), server.to_owned());
    let output = match tokio::time::timeout(PATIENCE, run(world, helper, server)).await {
        Err(_elapsed) => return Err(HelperError::Late { helper: name, server: asked }),
        Ok(Err(source)) => return Err(HelperError::Start { helper: name, server: asked, source }),
        Ok(Ok(output)) => output,
    };
    let failed = |status: String| HelperError::Failed { helper: name, server: asked, status };
    if !output.status.success() {
        let words = [output.stdout, output.stderr].concat();
        let absent = String::from_utf8_lossy(&words).contains(NOT_FOUND);
        return if absent { Ok(None) } else { Err(failed(output.status.to_string())) };
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_quotes_it| failed("its answer is no login".to_owned()))?;
    let password = Secret::new(answer.secret);
    Ok(Some(Login { registry: server.to_owned(), username: answer.username, password }))
}

/// The helper gets the runner's environment, and none of the job's variables.
async fn run(world: &World, helper: &str, server: &str) -> io::Result<std::process::Output> {
    // The name comes from the operator's file, but a path in it would be another program.
    if helper.contains('/') {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let own = world
        .environment
        .iter()
        .filter(|(name, _)| !name.to_string_lossy().starts_with("CUSTOM_ENV_"));
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .env_clear()
        .envs(own)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing knows what it answers.
        drop(stdin.write_all(server.as_bytes()).await);
    }
    child.wait_with_output().await
}
