//! Waits shorter than the event loop's timers, which are a millisecond coarse. They stop the whole agent
//! on purpose: a pipe that fills or drains meanwhile makes one wake-up out of sixteen.
//!
//! A loud program writes 4 KiB at a time. Passed on as they come, each of them wakes up the agent, the
//! container's shim, the daemon, the driver and the runner; on two processors that, and not copying, is
//! what bounds the log (measured: 65 000 reads and 60 000 writes for 256 MiB, 10 000 and 9 000 with pauses).

use std::time::Duration;

use tokio::time::Instant;

/// While a stage's pipe fills; its 256 KiB take any program longer than this.
const FILL: Duration = Duration::from_micros(100);

/// While the pipe to the daemon drains; its 256 KiB last longer than this.
const DRAIN: Duration = Duration::from_micros(300);

/// Output that follows within this is loud.
const LOUD: Duration = Duration::from_millis(1);

/// Tells a loud pipe from one that says a line now and then, which nobody should wait for.
#[derive(Debug, Default)]
pub(super) struct Loudness {
    last: Option<Instant>,
}

impl Loudness {
    /// To be asked after output was read and passed on; pauses where it came close upon the last.
    pub(super) fn pause(&mut self) {
        let last = self.last.replace(Instant::now());
        if last.is_some_and(|last| last.elapsed() < LOUD) {
            std::thread::sleep(FILL);
        }
    }
}

/// To be called when the pipe to the daemon is full, before waiting for room in it: the first room is
/// but a page.
pub(super) fn while_it_drains() {
    std::thread::sleep(DRAIN);
}
