//! A daemon of a test's own, in a network namespace of its own: all it has goes with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::names::unique;
use super::private_engine::chosen_options;

/// A private engine with some images of the shared one.
pub(crate) struct OwnDaemon {
    state: TempDir,
    name: String,
    socket: PathBuf,
}

impl OwnDaemon {
    pub(crate) fn start(images: &[&str]) -> Self {
        let state = TempDir::with_prefix("longshore-test-engine-").unwrap();
        // At most 20 characters.
        let name = unique().replace("longshore-test-", "t");
        let mut daemon = Self { state, name, socket: PathBuf::new() };
        let chosen = chosen_options();
        let options = chosen.iter().map(String::as_str).collect();
        let told = daemon.script(&[vec!["start", &daemon.name], options].concat());
        assert!(told.status.success(), "{told:?}");
        daemon.socket = String::from_utf8(told.stdout).unwrap().trim().into();
        let archive = daemon.state.path().join("images.tar");
        let saved = Command::new("docker").args(["save", "-o"]).arg(&archive).args(images).output();
        assert!(saved.unwrap().status.success());
        daemon.docker(&["load", "-i", archive.to_str().unwrap()]);
        daemon
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs a command line at its bare socket.
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        let host = format!("unix://{}", self.socket.display());
        let output = Command::new("docker").args(["-H", &host]).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?} {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn script(&self, words: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("script/test-env");
        let mut command = Command::new(script);
        command.arg("engine").args(words).env("LONGSHORE_STATE", self.state.path());
        command.stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for OwnDaemon {
    fn drop(&mut self) {
        let stopped = self.script(&["stop", &self.name]);
        assert!(std::thread::panicking() || stopped.status.success(), "{stopped:?}");
    }
}
