//! Networks that one thread's jobs have to themselves: what a `prepare` asks of the daemon does not depend on
//! how many other tests are at it then.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::real::{Host, busybox, docker_host};

/// How the names of all of them begin; the thread's number follows, and the slot's.
pub(crate) const OWN_SLOTS: &str = "longshore-test-slots-";

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: OwnSlots = OwnSlots::new();
}

struct OwnSlots {
    prefix: String,
}

impl OwnSlots {
    /// The first of them is made by a job, so that no later one has to.
    fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let own = Self { prefix: format!("{OWN_SLOTS}{}-{number}-", std::process::id()) };
        own.given_to(Host::new()).run(&busybox(["true"])).assert_success();
        own
    }

    fn given_to(&self, host: Host) -> Host {
        host.docker("slot_prefix", &format!("{:?}", self.prefix))
    }
}

impl Drop for OwnSlots {
    fn drop(&mut self) {
        let docker = |words: &[&str]| {
            Command::new("docker").args(["-H", &docker_host(), "network"]).args(words).output()
        };
        let filter = format!("name=^{}", self.prefix);
        let Ok(listed) = docker(&["ls", "--quiet", "--filter", &filter]) else { return };
        for id in String::from_utf8_lossy(&listed.stdout).lines() {
            drop(docker(&["rm", id]));
        }
    }
}

/// The host with this thread's networks.
pub(crate) fn on_own_slots(host: Host) -> Host {
    OWN.with(|own| own.given_to(host))
}
