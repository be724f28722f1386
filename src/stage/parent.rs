//! Watches the process that called us: when the runner is killed, nobody will ever call `cleanup`.
//!
//! A pidfd, not `PR_SET_PDEATHSIG`: that signal follows the *thread* that forked, and a Go parent's
//! threads come and go.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use tokio::io::unix::AsyncFd;

/// The caller, watched from the moment this was made.
#[derive(Debug)]
pub struct Parent {
    watch: AsyncFd<OwnedFd>,
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
        let watch = match pidfd_open(parent, PidfdFlags::NONBLOCK) {
            Ok(watch) => watch,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Between getppid and pidfd_open the parent may have died and its number been given away.
        if getppid() == Some(parent) { Ok(Some(Self { watch: AsyncFd::new(watch)? })) } else { Ok(None) }
    }

    /// Waits until the parent has ended.
    ///
    /// # Errors
    /// When the runtime cannot poll the pidfd.
    pub async fn ended(&self) -> io::Result<()> {
        self.watch.readable().await.map(drop)
    }
}
