//! Turns bollard's errors into ours: what was tried, on what, the class, and the deepest cause told.

use std::error::Error as StdError;
use std::io;

use bollard::errors::Error;

use crate::engine::{EngineError, Fault};

/// What a daemon behind TLS answers to who speaks none. Source: Go's `net/http`.
const WANTS_TLS: &str = "HTTP request to an HTTPS server";

/// The error of a call that failed.
pub(super) fn of(verb: &'static str, object: &str, error: &Error) -> EngineError {
    EngineError {
        verb,
        object: object.to_owned(),
        fault: class(error),
        cause: cause(error),
        retry_after: None,
    }
}

fn class(error: &Error) -> Fault {
    match error {
        Error::DockerResponseServerError { status_code, message } => answer(*status_code, message),
        Error::SocketNotFoundError(_) => Fault::NoSocket,
        Error::RequestTimeoutError => Fault::Deadline,
        _ => broken(unwrapped(error)),
    }
}

/// The class of a daemon's own answer.
fn answer(status: u16, message: &str) -> Fault {
    match status {
        // A network that containers are still on is told as 403.
        _ if message.contains("has active endpoints") => Fault::Conflict,
        404 => Fault::NotFound,
        304 | 409 => Fault::Conflict,
        400..=499 => Fault::Refused,
        _ => Fault::Daemon,
    }
}

/// The error that bollard wraps: a transparent variant leaves the one it holds out of its own chain.
fn unwrapped(error: &Error) -> &(dyn StdError + 'static) {
    match error {
        Error::IOError { err } => err,
        Error::HyperResponseError { err } => err,
        Error::JsonSerdeError { err } => err,
        other => other,
    }
}

/// The class of an exchange that did not come to an answer.
fn broken(error: &(dyn StdError + 'static)) -> Fault {
    if let Some(io) = deepest::<io::Error>(error) {
        return match io.kind() {
            io::ErrorKind::NotFound => Fault::NoSocket,
            io::ErrorKind::TimedOut => Fault::Deadline,
            _ => Fault::Unreachable,
        };
    }
    match deepest::<hyper::Error>(error) {
        Some(http) if http.is_parse() => Fault::Daemon,
        Some(_) => Fault::Unreachable,
        None => Fault::Daemon,
    }
}

/// Every sentence of the chain that adds something; never empty.
fn cause(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { status_code, message } if message.trim().is_empty() => {
            return format!("the daemon answered status {status_code} without a word");
        }
        Error::DockerResponseServerError { message, .. } if message.contains(WANTS_TLS) => {
            return format!(
                "{}; name the directory of its certificates by docker.tls_cert_path",
                message.trim()
            );
        }
        Error::DockerResponseServerError { message, .. } => return message.trim().to_owned(),
        Error::SocketNotFoundError(path) => {
            return format!("there is no socket at {path}; is the Docker daemon running?");
        }
        Error::DockerStreamError { error } => return error.clone(),
        _ => {}
    }
    broken_cause(unwrapped(error))
}

fn broken_cause(error: &(dyn StdError + 'static)) -> String {
    if let Some(io) = deepest::<io::Error>(error) {
        return io_cause(io);
    }
    match deepest::<hyper::Error>(error) {
        Some(http) if http.is_parse() => format!("what answers there does not speak HTTP: {http}"),
        Some(http) if http.is_incomplete_message() => {
            "the daemon hung up before it answered".to_owned()
        }
        Some(http) => format!("the connection to the daemon broke: {}", chain(http)),
        None => format!("the daemon's answer makes no sense: {}", chain(error)),
    }
}

fn io_cause(error: &io::Error) -> String {
    if error.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<rustls::Error>) {
        return format!(
            "{error}; ca.pem must be of the authority that signed the daemon's certificate, and cert.pem \
             one that the daemon trusts"
        );
    }
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no socket; is the Docker daemon running? ({error})")
        }
        io::ErrorKind::ConnectionRefused => {
            format!("nobody listens there; is the Docker daemon running? ({error})")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this user may not use the socket; is it in the socket's group? ({error})")
        }
        _ => format!("the connection to the daemon broke: {error}"),
    }
}

fn sources<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The deepest error of this type in the chain.
fn deepest<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    sources(error).filter_map(|error| error.downcast_ref::<T>()).last()
}

/// The sentences of the chain, those left out that only repeat what comes under them.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut told: Vec<String> = Vec::new();
    for sentence in sources(error).map(ToString::to_string) {
        if let Some(last) = told.last_mut()
            && last.ends_with(&sentence)
        {
            continue;
        }
        told.push(sentence);
    }
    told.join(": ")
}

#[cfg(test)]
mod tests;
