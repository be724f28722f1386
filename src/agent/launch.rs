//! Starts a stage's first process, with the script on its standard input. It neither waits nor kills.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Rlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use super::container::Container;
use super::protocol::{Exec, Refusal};
use super::sys::{self, Becoming};
use crate::secrets::Secret;

/// Room in each of the stage's output pipes; four times the default halves the wake-ups. Best effort.
const PIPE_BYTES: usize = 256 * 1024;

/// A stage that has just been started.
pub(super) struct Launched {
    pub(super) pid: Pid,
    pub(super) script: ScriptPipe,
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
}

/// Starts the stage, with this variable besides. `core` is the limit of core files that the agent took
/// from itself.
pub(super) fn launch(
    exec: &Exec,
    variable: Option<(String, String)>,
    container: &Container,
    core: Rlimit,
) -> Result<Launched, Refusal> {
    let words = container.command_line(exec.user_stage)?;
    let failed = |error: &std::io::Error| Refusal::Start {
        program: words[0].clone(),
        errno: error.raw_os_error().unwrap_or_default(),
    };
    let (reader, writer) = std::io::pipe().map_err(|error| failed(&error))?;
    let kept = reader.try_clone().map_err(|error| failed(&error))?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().envs(container.stage_environment(exec)).envs(variable);
    command.stdin(reader).stdout(Stdio::piped()).stderr(Stdio::piped());
    let account = &container.account;
    let becoming =
        Becoming { uid: account.uid, gid: account.gid, groups: account.groups.clone(), core };
    let mut child = sys::spawn(&mut command, becoming).map_err(|error| failed(&error))?;
    let missing = || failed(&std::io::Error::from(rustix::io::Errno::BADF));
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    Ok(Launched {
        pid,
        script: ScriptPipe::new(exec.script.0.clone(), writer.into(), kept)
            .map_err(|error| failed(&error))?,
        stdout: receiver(stdout.into()).map_err(|error| failed(&error))?,
        stderr: receiver(stderr.into()).map_err(|error| failed(&error))?,
    })
}

fn receiver(pipe: OwnedFd) -> std::io::Result<pipe::Receiver> {
    // EPERM: the user's share of pipe memory is used up, the default size does too.
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
    pipe::Receiver::from_owned_fd(pipe)
}

/// The script on its way into the shell.
pub(super) struct ScriptPipe {
    script: Secret,
    written: usize,
    writer: Option<pipe::Sender>,
    /// The pipe's other end, kept to see what was left unread.
    reader: PipeReader,
}

impl ScriptPipe {
    fn new(script: Secret, writer: OwnedFd, reader: PipeReader) -> std::io::Result<Self> {
        let writer = Some(pipe::Sender::from_owned_fd(writer)?);
        Ok(Self { script, written: 0, writer, reader })
    }

    /// Writes on, then closes the pipe. Safe to drop half-way and to call again.
    pub(super) async fn feed(&mut self) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let rest = self.script.expose();
        while self.written < rest.len() {
            match writer.write(&rest[self.written..]).await {
                Ok(length) => self.written += length,
                Err(_) => break,
            }
        }
        self.writer = None;
    }

    /// Whether all was written.
    pub(super) fn is_fed(&self) -> bool {
        self.writer.is_none()
    }

    /// Whether not one byte of the script was read. To be asked once nobody can read any more.
    pub(super) fn is_unread(&self) -> bool {
        let waiting = rustix::io::ioctl_fionread(&self.reader).unwrap_or_default();
        !self.script.expose().is_empty() && waiting == self.written as u64
    }
}
