//! How fast the requests of one stage may come, and how often the daemon is asked what is still there. It refuses
//! nobody: who is too fast waits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Requests that may come at once before the pace holds.
const BURST: u32 = 400;

/// Time for one request once the burst is used up (T10). What is beyond waits, and is not refused: clients take a
/// 429 for the end. 20 a second and 100 at once, as T10 began, would hold up what people do: eight `docker
/// inspect` side by side send 137 requests in a second (400 in 3.5 s), compose brings up twelve services with 57
/// in its first second, `docker run` again and again sends 10. What costs the daemon is bounded by the quotas.
const PACE: Duration = Duration::from_millis(5);

/// Time between two counts of what is still there.
const RECOUNT: Duration = Duration::from_secs(1);

/// When the next ones may come.
pub(super) struct Pace {
    /// The next request, at the pace.
    due: Mutex<Instant>,
    /// The next question what has gone by itself.
    recount: Mutex<Instant>,
}

impl Pace {
    /// A burst is there.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { due: Mutex::new(earliest(now)), recount: Mutex::new(now) }
    }

    /// Waits where requests come faster than a job's may.
    pub(super) async fn wait(&self) {
        let due = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            *due = (*due).max(earliest(now)) + PACE;
            *due
        };
        tokio::time::sleep_until(due).await;
    }

    /// Whether it is time to ask the daemon what has gone by itself: that costs it many requests.
    pub(super) fn may_recount(&self) -> bool {
        let mut next = self.recount.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = now >= *next;
        if may {
            *next = now + RECOUNT;
        }
        may
    }
}

/// When the first of a whole burst would have been due.
fn earliest(now: Instant) -> Instant {
    now.checked_sub(PACE * BURST).unwrap_or(now)
}
