//! A private engine with the small image, for tests that break one, or that count what runs on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::names::unique;
use super::real::{BUSYBOX, Host};

/// An engine of a test's own; all it has goes with this value.
pub(crate) struct Daemon {
    state: TempDir,
    name: String,
    options: &'static [&'static str],
    pub(crate) socket: PathBuf,
}

impl Daemon {
    pub(crate) fn start(options: &'static [&'static str]) -> Self {
        let state = TempDir::with_prefix("longshore-test-engine-").unwrap();
        // At most 20 characters.
        let name = unique().replace("longshore-test-", "t");
        let mut daemon = Self { state, name, options, socket: PathBuf::new() };
        let told = daemon.again();
        daemon.socket = String::from_utf8(told.stdout).unwrap().trim().into();
        let archive = daemon.state.path().join("image.tar");
        let saved = Command::new("docker").args(["save", "-o"]).arg(&archive).arg(BUSYBOX).output();
        assert!(saved.unwrap().status.success());
        daemon.docker(&["load", "-i", archive.to_str().unwrap()]);
        daemon
    }

    fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// A host whose jobs run on it.
    pub(crate) fn host(&self) -> Host {
        Host::new().docker("host", &format!("{:?}", self.address()))
    }

    /// The Docker command line on it.
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        let command = Command::new("docker").args(["-H", &self.address()]).args(words).output();
        let output = command.unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn script(&self, words: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("script/test-env");
        let mut command = Command::new(script);
        command.arg("engine").args(words).env("LONGSHORE_STATE", self.state.path());
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Starts it, again on the same data after it was killed.
    pub(crate) fn again(&self) -> Output {
        let output = self.script(&[&["start", self.name.as_str()], self.options].concat());
        assert!(output.status.success(), "{output:?}");
        output
    }

    pub(crate) fn kill(&self) {
        let output = self.script(&["kill", &self.name]);
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let stopped = self.script(&["stop", &self.name]);
        assert!(std::thread::panicking() || stopped.status.success(), "{stopped:?}");
    }
}
