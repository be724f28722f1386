//! The agent volume of this very binary, filled and kept: what is made once for a host is there before a test
//! begins.

use std::path::Path;
use std::process::Command;

use longshore::stage::agent_volume;

use super::names::unique;
use super::real::{BINARY, BUSYBOX, Host, busybox, docker_host};

/// Fills the agent volume and keeps it in use, so that no reap of another version's takes it meanwhile.
pub(crate) struct Filled {
    container: String,
}

impl Filled {
    pub(crate) fn new() -> Self {
        Host::new().run(&busybox(["true"])).assert_success();
        let container = unique();
        let volume = agent_volume::name(Path::new(BINARY)).unwrap();
        let mount = format!("{volume}:/agent");
        docker(&["create", "--name", &container, "--volume", &mount, BUSYBOX, "true"]);
        Self { container }
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        docker(&["rm", &self.container]);
    }
}

fn docker(words: &[&str]) {
    let output = Command::new("docker").args(["-H", &docker_host()]).args(words).output().unwrap();
    assert!(output.status.success() || std::thread::panicking(), "{words:?}: {output:?}");
}
