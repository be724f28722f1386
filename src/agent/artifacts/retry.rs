//! Tries again what may succeed a little later, with growing pauses, and says so each time.

use super::error::ArtifactsError;
use super::options::Target;
use super::say;
use std::io::Write;
use std::time::Duration;

/// However long a server asks to wait, a job does not wait longer than this.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Runs `attempt` until it succeeds, fails for good, or the tries are used up.
///
/// # Errors
/// The last try's.
pub(super) async fn with_retries<T, F: Future<Output = Result<T, ArtifactsError>>>(
    target: &Target,
    notes: &mut (dyn Write + Send),
    attempt: impl Fn() -> F,
) -> Result<T, ArtifactsError> {
    let mut pause = target.retry_pause;
    for left in (0..target.retries).rev() {
        let error = match attempt().await {
            Err(error) if error.is_passing() => error,
            done => return done,
        };
        let wait = error.retry_after().unwrap_or(pause).min(LONGEST_PAUSE);
        let tries =
            if left == 0 { "the last try".into() } else { format!("{} more tries", left + 1) };
        say(notes, &format!("WARNING: {}; {tries}, the next in {wait:?}", error.chain()));
        tokio::time::sleep(wait).await;
        pause *= 2;
    }
    attempt().await
}
