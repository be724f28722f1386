//! Opens a conversation with the agent in a container: the engine's attach on one side, the agent's
//! client on the other.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWrite;

use crate::agent::client::{Client, ClientError};
use crate::agent::protocol::{Hello, Session};
use crate::engine::{Engine, EngineError, Output};

use super::error::CallError;

/// How long a container's agent may take to answer; it usually takes half a millisecond.
const ANSWER: Duration = Duration::from_secs(10);

/// What the agent writes, as its client wants it.
pub type AgentOutput = Pin<Box<dyn Stream<Item = Result<Bytes, EngineError>>>>;

/// What the agent reads.
pub type AgentInput = Pin<Box<dyn AsyncWrite>>;

/// A conversation with the agent of one container.
pub type Agent = Client<AgentOutput, AgentInput>;

/// Attaches to a container and opens a session with its agent.
///
/// # Errors
/// When the engine does not attach or the agent does not answer.
pub async fn open<E: Engine>(engine: &E, container: &str) -> Result<(Agent, Hello), CallError> {
    let attached = engine.attach(container).await?;
    // The agent's stderr is its last words before it dies; they are in nobody's way here.
    let output = attached.output.filter_map(|item| {
        std::future::ready(match item {
            Ok(Output::Stdout(bytes)) => Some(Ok(bytes)),
            Ok(Output::Stderr(_)) => None,
            Err(error) => Some(Err(error)),
        })
    });
    let session = session()?;
    let output: AgentOutput = Box::pin(output);
    Client::connect(output, attached.input, session, ANSWER)
        .await
        .map_err(|error| failure(container, &error))
}

/// An agent that cannot be talked to is our fault, or the container is gone.
pub fn failure(container: &str, error: &ClientError) -> CallError {
    CallError::system(format!("failed to speak with the container {container}: {error}"))
}

fn session() -> Result<Session, CallError> {
    let mut bytes = [0; 16];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match read {
        Ok(length) if length == bytes.len() => Ok(Session(bytes)),
        Ok(_) => Err(CallError::system("the kernel gave too few random bytes")),
        Err(error) => Err(CallError::system(format!("the kernel gave no random bytes: {error}"))),
    }
}
