//! Tries again what may succeed a little later, with growing pauses, and says so each time.

use super::error::TransferError;
use super::given::Given;
use super::say;
use std::io::Write;
use std::time::Duration;

/// However long a server asks to wait, a job does not wait longer than this.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// So many times more tries for a server that is away for a while.
const UNAVAILABLE: u32 = 2;

/// How often to try again, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How many times to try again.
    pub(super) retries: u32,
    /// The first pause between two tries; later ones double.
    pub(super) pause: Duration,
}

impl Patience {
    /// `--retry` and `--retry-time`; two more tries a second apart where nothing is said.
    pub(super) fn of(given: &Given) -> Result<Self, TransferError> {
        Ok(Self {
            retries: given.number("--retry")?.unwrap_or(2),
            pause: given.duration("--retry-time")?.unwrap_or(Duration::from_secs(1)),
        })
    }
}

/// Runs `attempt` until it succeeds, fails for good, or the tries are used up. It is told which try it is,
/// from 0.
///
/// # Errors
/// The last try's.
pub(super) async fn with_retries<T, F: Future<Output = Result<T, TransferError>>>(
    patience: Patience,
    notes: &mut (dyn Write + Send),
    attempt: impl Fn(u32) -> F,
) -> Result<T, TransferError> {
    let mut pause = patience.pause;
    let mut made = 0;
    loop {
        let error = match attempt(made).await {
            Err(error) if error.is_passing() => error,
            done => return done,
        };
        // As with GitLab's binary, a server that says it will be back is given more time.
        let retries = patience.retries * if error.is_unavailable() { UNAVAILABLE } else { 1 };
        if made >= retries {
            return Err(error);
        }
        let wait = error.retry_after().unwrap_or(pause).min(LONGEST_PAUSE);
        let left = retries - made;
        let tries = if left == 1 { "the last try".into() } else { format!("{left} more tries") };
        say(notes, &format!("WARNING: {}; {tries}, the next in {wait:?}", error.chain()));
        tokio::time::sleep(wait).await;
        pause *= 2;
        made += 1;
    }
}
