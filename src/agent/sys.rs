//! What std and rustix cannot do safely: code between fork and exec, and locking memory. The only file
//! with `unsafe`; nothing is decided here.
#![expect(unsafe_code, reason = "pre_exec and mlock have no safe form")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::thread::CapabilitySet;

/// What a child becomes before it executes its program.
pub(super) struct Becoming {
    /// User id.
    pub(super) uid: u32,
    /// Group id.
    pub(super) gid: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
    /// Limit of core files to give back.
    pub(super) core: Rlimit,
}

/// Starts the command as that user, in a session of its own.
///
/// # Errors
/// What fork, the steps of becoming, or exec answered.
pub(super) fn spawn(command: &mut Command, becoming: Becoming) -> io::Result<Child> {
    let groups: Vec<Gid> = becoming.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    // SAFETY: the closure runs between fork and exec of a process with one thread. It makes system
    // calls on values prepared above; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || become_user(&becoming, &groups));
    }
    command.spawn()
}

fn become_user(becoming: &Becoming, groups: &[Gid]) -> io::Result<()> {
    rustix::process::setsid()?;
    raise_oom_score();
    // A limit that cannot be given back only costs the job its core files.
    let _ = rustix::process::setrlimit(Resource::Core, becoming.core);
    rustix::thread::set_thread_groups(groups)?;
    rustix::thread::set_thread_gid(Gid::from_raw(becoming.gid))?;
    rustix::thread::set_thread_uid(Uid::from_raw(becoming.uid))?;
    if becoming.uid != 0 {
        drop_capabilities()?;
    }
    // Not dumpable until exec makes it so: until then this is a copy of the agent's memory.
    Ok(())
}

/// The kernel takes effective and permitted away with the uid, but leaves what can be inherited.
fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets =
        rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)?;
    // ENOSYS/EINVAL: a kernel without ambient capabilities has none to clear.
    let _ = rustix::thread::clear_ambient_capability_set();
    Ok(())
}

/// The job shall die of its memory limit, not PID 1. Where the kernel refuses, nothing is lost but that.
fn raise_oom_score() {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
        let _ = rustix::io::write(&file, b"500");
    }
}

/// Keeps these bytes out of swap; best effort, as Docker allows 64 KiB by default.
pub(super) fn lock_memory(bytes: &[u8]) {
    if !bytes.is_empty() {
        // SAFETY: the range is a live slice; mlock neither reads nor writes it.
        let _ = unsafe { rustix::mm::mlock(bytes.as_ptr().cast_mut().cast(), bytes.len()) };
    }
}
