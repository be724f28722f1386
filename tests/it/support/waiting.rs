//! Waiting for what comes about in another process, which nothing here can be told of.

use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_mins(1);

/// Looks again and again; fails after a minute.
pub(crate) fn await_that(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !happened() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}
