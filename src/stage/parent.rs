//! Watches the process that called us: when the runner is killed, nobody will ever call `cleanup`.
//!
//! A pidfd, not `PR_SET_PDEATHSIG`: that signal follows the *thread* that forked, and a Go parent's
//! threads come and go.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use tokio::sync::oneshot;

/// The caller, watched from the moment this was made.
#[derive(Debug)]
pub struct Parent {
    ended: oneshot::Receiver<()>,
}

impl Parent {
    /// Watches our parent. `None` when it is gone already (or is outside our pid namespace).
    ///
    /// # Errors
    /// When the kernel gives no pidfd (before Linux 5.3).
    pub fn watch() -> io::Result<Option<Self>> {
        let Some(parent) = getppid() else { return Ok(None) };
        Self::of(parent)
    }

    fn of(parent: Pid) -> io::Result<Option<Self>> {
        let pidfd = match pidfd_open(parent, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Between getppid and pidfd_open the parent may have died and its number been given away.
        if getppid() != Some(parent) {
            return Ok(None);
        }
        let (report, ended) = oneshot::channel();
        // A thread of its own rather than the runtime's poll: registering a foreign descriptor there
        // is unsafe by type, and this one waits once.
        std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
            if wait(&pidfd).is_ok() {
                let _ = report.send(());
            }
        })?;
        Ok(Some(Self { ended }))
    }

    /// Waits until the parent has ended; for ever where that cannot be seen.
    pub async fn ended(self) {
        if self.ended.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn wait(pidfd: &OwnedFd) -> rustix::io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}
