//! A pull: reads the daemon's stream to its end, within an idle and a total deadline, since the errors of
//! a pull come in the middle of an answer that began with 200.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::{CreateImageOptions, CreateImageOptionsBuilder};
use futures_util::{Stream, StreamExt};

use super::call::Call;
use super::{fault, observe};
use crate::engine::{EngineError, Fault, PullProgress, RegistryLogin, registry};

/// The user name by which credential helpers say that the password is an identity token.
const TOKEN: &str = "<token>";

/// What to ask for.
pub(super) fn options(reference: &str, platform: Option<&str>) -> CreateImageOptions {
    let options = CreateImageOptionsBuilder::default().from_image(&registry::with_tag(reference));
    platform.map_or(options.clone(), |platform| options.platform(platform)).build()
}

/// The credentials in bollard's shape.
pub(super) fn credentials(
    call: &Call<'_>,
    login: &RegistryLogin,
) -> Result<DockerCredentials, EngineError> {
    let password = String::from_utf8(login.password.expose().to_vec()).map_err(|_bytes| {
        let cause = format!("the password for {} is not UTF-8 text", login.registry);
        call.failed(Fault::Refused, cause)
    })?;
    if login.username == TOKEN {
        return Ok(DockerCredentials {
            identitytoken: Some(password),
            serveraddress: Some(login.registry.clone()),
            ..DockerCredentials::default()
        });
    }
    Ok(DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(password),
        serveraddress: Some(login.registry.clone()),
        ..DockerCredentials::default()
    })
}

/// Follows the stream to its end. `call.deadline` is for the whole, `idle` between two lines.
pub(super) async fn follow(
    call: &Call<'_>,
    idle: Duration,
    lines: impl Stream<Item = Result<CreateImageInfo, Error>>,
    progress: &mut dyn FnMut(PullProgress),
) -> Result<(), EngineError> {
    let mut lines = std::pin::pin!(lines);
    let whole = async {
        loop {
            match tokio::time::timeout(idle, lines.next()).await {
                Err(_elapsed) => return Err(call.late("no progress", idle)),
                Ok(None) => return Ok(()),
                Ok(Some(line)) => progress(observe::progress(step(call, line)?)),
            }
        }
    };
    tokio::time::timeout(call.deadline, whole)
        .await
        .unwrap_or_else(|_elapsed| Err(call.late("not done", call.deadline)))
}

fn step(
    call: &Call<'_>,
    line: Result<CreateImageInfo, Error>,
) -> Result<CreateImageInfo, EngineError> {
    match line {
        Ok(CreateImageInfo { error_detail: Some(detail), .. }) => {
            let message = detail.message.unwrap_or_default();
            Err(failure(call, &Error::DockerStreamError { error: message }))
        }
        Ok(line) => Ok(line),
        Err(error) => Err(failure(call, &error)),
    }
}

fn failure(call: &Call<'_>, error: &Error) -> EngineError {
    let mut failed = fault::of(call.verb, call.object, error);
    let (status, message) = match error {
        Error::DockerStreamError { error } => (200, error),
        Error::DockerResponseServerError { status_code, message } => (*status_code, message),
        _ => return failed,
    };
    failed.fault = registry::fault(call.object, status, message);
    failed.retry_after = registry::retry_after(message);
    if failed.cause.is_empty() {
        "the daemon gave up the pull without a word".clone_into(&mut failed.cause);
    }
    failed
}
