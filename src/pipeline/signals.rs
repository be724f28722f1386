//! Signals that cancel a pipeline.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::console::Console;

/// The first signal cancels the pipeline; the jobs' own time limits take care of the rest.
pub async fn watch(cancel: watch::Sender<bool>, console: Console) {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else { return };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        if !cancel.send_replace(true) {
            console.line("Cancelling: jobs are stopped and cleaned up");
        }
    }
}
