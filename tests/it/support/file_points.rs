//! Each change of a file in the driver's own directories as a place where a test can have the process killed:
//! right after it, before anything else is done. Nothing of it is in the driver: the kernel tells of the
//! change a thread that takes the driver's only core from it, and stops it there.

use std::collections::HashMap;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

use super::kill_points::{KillPoints, Side, doing, stops};

/// How often the thread looks whether it is wanted any more.
const LOOK: Duration = Duration::from_millis(50);

/// Keeps the thread that has it, and what it starts, on one core until it is dropped.
pub(crate) struct Pinned(CpuSet);

impl Pinned {
    pub(crate) fn to(core: usize) -> Self {
        let all = sched_getaffinity(None).unwrap();
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
        let mut one = CpuSet::new();
        one.set(allowed[core % allowed.len()]);
        sched_setaffinity(None, &one).unwrap();
        Self(all)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.0);
    }
}

/// Notes the changes below some directories, and stops the process at the one that is armed.
pub(crate) struct FileWatch {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FileWatch {
    /// To be begun by a thread that is [`Pinned`] to where the driver will be.
    pub(crate) fn start(
        points: &Arc<KillPoints>,
        settings: PathBuf,
        roots: [(PathBuf, &'static str); 2],
    ) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (ready, began) = channel();
        let (points, is_over) = (Arc::clone(points), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            before_all_others();
            let mut watch = Watch::new(points, settings);
            for (root, told) in roots {
                watch.add(&root, told.as_ref());
            }
            ready.send(()).unwrap();
            watch.follow(&is_over);
        });
        began.recv().unwrap();
        Self { ended, thread: Some(thread) }
    }

    /// Notes nothing more.
    pub(crate) fn end(mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// The driver does not get on while this thread is at a change.
fn before_all_others() {
    let thread = gettid().as_raw_nonzero().to_string();
    let done = Command::new("chrt").args(["--fifo", "--pid", "10", &thread]).status().unwrap();
    assert!(done.success(), "chrt");
}

struct Watch {
    points: Arc<KillPoints>,
    settings: PathBuf,
    inotify: OwnedFd,
    /// Where each watch is, as it is told.
    places: HashMap<i32, PathBuf>,
}

impl Watch {
    fn new(points: Arc<KillPoints>, settings: PathBuf) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        Self { points, settings, inotify, places: HashMap::new() }
    }

    /// A directory with those below it; those that come later are not watched.
    fn add(&mut self, path: &Path, told: &Path) {
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::OPEN;
        let watch = inotify::add_watch(&self.inotify, path, flags).unwrap();
        self.places.insert(watch, told.to_owned());
        for entry in fs::read_dir(path).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                self.add(&entry.path(), &told.join(entry.file_name()));
            }
        }
    }

    fn follow(&mut self, is_over: &AtomicBool) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        while !is_over.load(Ordering::SeqCst) {
            let look = Timespec::try_from(LOOK).unwrap();
            poll(&mut [PollFd::from_borrowed_fd(self.inotify.as_fd(), PollFlags::IN)], Some(&look))
                .unwrap();
            let mut seen = Vec::new();
            let mut reader = Reader::new(&self.inotify, &mut buffer);
            loop {
                match reader.next() {
                    Ok(event) => {
                        let name =
                            event.file_name().map(|name| name.to_string_lossy().into_owned());
                        seen.push((event.wd(), event.events(), name.unwrap_or_default()));
                    }
                    Err(Errno::WOULDBLOCK) => break,
                    Err(error) => panic!("{error}"),
                }
                if reader.is_buffer_empty() {
                    break;
                }
            }
            for (watch, flags, name) in seen {
                self.happened(watch, flags, &name);
            }
        }
    }

    fn happened(&mut self, watch: i32, flags: ReadFlags, name: &str) {
        let Some(told) = self.places.get(&watch).cloned() else { return };
        if flags.contains(ReadFlags::ISDIR) || name.is_empty() {
            // It is made or looked into, which changes nothing.
            return;
        }
        let words = [
            (ReadFlags::CREATE, "make"),
            (ReadFlags::OPEN, "open"),
            (ReadFlags::MODIFY, "write"),
            (ReadFlags::MOVED_TO, "rename"),
            (ReadFlags::DELETE, "delete"),
        ];
        let Some((_, word)) = words.iter().find(|(flag, _)| flags.contains(*flag)) else { return };
        // Names of jobs, images and tokens differ from run to run.
        let told = if told.components().count() > 1 { told } else { told.join(name) };
        let Some(pid) = doing(&self.settings) else { return };
        let point = self.points.note(pid, &format!("{word} {}", told.display()));
        // Here: it does not come back from the kernel before it has stopped. On a busy host this thread may be
        // late, and what was the call's last change is not met.
        if self.points.is_armed(&point, Side::After) && stops(pid) {
            self.points.pass(&point, Side::After, pid);
        }
    }
}
