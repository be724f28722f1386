//! Hands work to a process of its own, so that the job need not wait for it: `cleanup` and `prepare` run
//! inside the job's time, and a child that kept one of the runner's pipes open would hold the stage.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Starts `executable worker` with nothing of our stdio but this text on its stdin. It holds the lock as
/// long as it lives: as its stdout, which it writes nothing to.
///
/// # Errors
/// When the process cannot be started or does not take its input.
pub fn hand_over(
    executable: &Path,
    settings: &Path,
    plan: &[u8],
    lock: Option<File>,
) -> io::Result<()> {
    let mut worker = detached(executable, settings, "worker")
        .stdin(Stdio::piped())
        .stdout(lock.map_or_else(Stdio::null, Stdio::from))
        .spawn()?;
    let Some(mut stdin) = worker.stdin.take() else { return Ok(()) };
    stdin.write_all(plan)
}

/// Starts `executable reap`. What it does is in the ledger.
///
/// # Errors
/// When the process cannot be started.
pub fn start_reap(executable: &Path, settings: &Path) -> io::Result<()> {
    detached(executable, settings, "reap").spawn().map(drop)
}

/// In a process group of its own: the runner ends ours.
fn detached(executable: &Path, settings: &Path, word: &str) -> Command {
    let mut command = Command::new(executable);
    command
        .arg("--settings")
        .arg(settings)
        .arg(word)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_clear() // it holds the job's variables, secrets among them
        .current_dir("/") // ours is the runner's temporary directory, which is about to go
        .process_group(0);
    command
}
