//! `longshore mask add`: a script names one more value that has to be masked. Both ends of that: the
//! agent listens, the command speaks. Values go one way; nothing can be asked, so nothing can be read.
//!
//! The socket has a path, in the container's own `/dev`: an abstract name would belong to the network
//! namespace, which the helper and the services share.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use zeroize::Zeroizing;

use crate::secrets::masker::MAX_INLINE_VALUE;
use crate::secrets::{Secret, Unmaskable};

/// How long one conversation may take, on both sides.
const PATIENCE: Duration = Duration::from_secs(10);

/// Conversations side by side; more wait.
const AT_ONCE: usize = 8;

/// The answer when the value is masked from now on.
const DONE: &[u8] = b"ok";

/// Why a value is not masked.
#[derive(Debug, thiserror::Error)]
pub enum MaskError {
    /// Nobody listens there.
    #[error(
        "failed to reach the agent at {socket}: {source}; `longshore mask add` works in scripts of a \
         job that Longshore runs"
    )]
    Unreachable {
        /// The socket's path.
        socket: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The agent says no.
    #[error("the value is not masked: {why}")]
    Refused {
        /// Its words.
        why: String,
    },
}

/// Hands a value to the agent that listens at `socket`; masked from its return on.
///
/// # Errors
/// Nobody listens there, or the value cannot be masked.
pub fn add(socket: &Path, value: &Secret) -> Result<(), MaskError> {
    let answer = converse(socket, value).map_err(|source| MaskError::Unreachable {
        socket: socket.display().to_string(),
        source,
    })?;
    if answer == DONE {
        return Ok(());
    }
    Err(MaskError::Refused { why: String::from_utf8_lossy(&answer).into_owned() })
}

fn converse(socket: &Path, value: &Secret) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // An agent that refuses a long value does not read all of it.
    let written = stream.write_all(value.expose());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        written?;
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

/// A value to be masked from now on, and where to say that it is.
pub(super) struct Addition {
    pub(super) value: Secret,
    pub(super) answer: oneshot::Sender<Result<(), Unmaskable>>,
}

/// Listens at this path, for everybody in the container.
///
/// # Errors
/// The socket cannot be made there.
pub(super) fn listen(path: &Path, additions: mpsc::Sender<Addition>) -> io::Result<()> {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    tokio::spawn(accept(listener, additions));
    Ok(())
}

async fn accept(listener: UnixListener, additions: mpsc::Sender<Addition>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors; one comes back with each conversation that ends.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let additions = additions.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, serve(stream, additions)).await;
            drop(permit);
        });
    }
}

/// One conversation. A client that goes away early is not told anything.
async fn serve(mut stream: tokio::net::UnixStream, additions: mpsc::Sender<Addition>) {
    let limit = MAX_INLINE_VALUE + 1;
    let mut value = Zeroizing::new(vec![0; limit]);
    let mut length = 0;
    while length < limit {
        match stream.read(&mut value[length..]).await {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(_) => return,
        }
    }
    let answer = if length < limit {
        add_here(&value[..length], &additions).await
    } else {
        Err(format!("it is longer than {} KiB; add its lines one by one", MAX_INLINE_VALUE >> 10))
    };
    let answer = answer.map_or_else(String::into_bytes, |()| DONE.to_vec());
    let _ = stream.write_all(&answer).await;
}

async fn add_here(value: &[u8], additions: &mpsc::Sender<Addition>) -> Result<(), String> {
    let (answer, answered) = oneshot::channel();
    let addition = Addition { value: Secret::new(value), answer };
    let ending = "the container is about to stop";
    additions.send(addition).await.map_err(|_| ending)?;
    let masked = answered.await.map_err(|_| ending)?;
    masked.map_err(|why| why.to_string())
}
