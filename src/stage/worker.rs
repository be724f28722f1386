//! Hands work to a process of its own, so that the job need not wait for it: `cleanup` runs inside the
//! job's time, and a child that kept one of the runner's pipes open would hold the stage.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Starts `executable worker` in a process group of its own, with nothing of our stdio but this text
/// on its stdin.
///
/// # Errors
/// When the process cannot be started or does not take its input.
pub fn hand_over(executable: &Path, settings: &Path, plan: &[u8]) -> io::Result<()> {
    let mut worker = Command::new(executable)
        .arg("--settings")
        .arg(settings)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_clear() // it holds the job's variables, secrets among them
        .current_dir("/") // ours is the runner's temporary directory, which is about to go
        .process_group(0)
        .spawn()?;
    let Some(mut stdin) = worker.stdin.take() else { return Ok(()) };
    stdin.write_all(plan)
}
