//! A Docker daemon of a test's own: to be killed, filled and emptied, and gone with the test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::names::unique;
use super::real::BUSYBOX;

/// A private engine with the small image; all it has goes with this value.
pub(crate) struct Daemon {
    state: TempDir,
    name: String,
    options: &'static [&'static str],
    pub(crate) socket: PathBuf,
    memory: bool,
}

impl Daemon {
    pub(crate) fn start(options: &'static [&'static str]) -> Self {
        Self::start_in(TempDir::with_prefix("longshore-test-engine-").unwrap(), options, false)
    }

    /// One whose disk is as large as these options of a tmpfs say.
    pub(crate) fn on_tmpfs(size: &str) -> Self {
        Self::in_memory(size, &[])
    }

    /// The same, with these options of its own.
    pub(crate) fn in_memory(size: &str, options: &'static [&'static str]) -> Self {
        let state = TempDir::with_prefix("longshore-test-engine-").unwrap();
        let mount = ["-t", "tmpfs", "-o", size, "longshore-test"];
        let mounted = Command::new("mount").args(mount).arg(state.path()).status().unwrap();
        assert!(mounted.success());
        Self::start_in(state, options, true)
    }

    fn start_in(state: TempDir, options: &'static [&'static str], memory: bool) -> Self {
        // At most 20 characters.
        let name = unique().replace("longshore-test-", "t");
        let mut daemon = Self { state, name, options, socket: PathBuf::new(), memory };
        let told = daemon.again();
        daemon.socket = String::from_utf8(told.stdout).unwrap().trim().into();
        let archive = daemon.state.path().join("image.tar");
        let saved = Command::new("docker").args(["save", "-o"]).arg(&archive).arg(BUSYBOX).output();
        assert!(saved.unwrap().status.success());
        let archive = archive.display().to_string();
        daemon.docker(&["load", "-i", &archive]);
        std::fs::remove_file(archive).unwrap();
        daemon
    }

    /// What `docker` prints about this daemon.
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        self.docker_with(words, &[])
    }

    /// The same with this on its standard input.
    pub(crate) fn docker_with(&self, words: &[&str], input: &[u8]) -> String {
        let mut command = Command::new("docker");
        command.args(["-H", &self.host()]).args(words).env("DOCKER_BUILDKIT", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The file system of its data root.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.state.path().join("engines").join(&self.name).join("data")
    }

    /// Its address on the link to this host's network.
    pub(crate) fn address(&self) -> String {
        self.on_link(2)
    }

    /// This host's address on that link.
    pub(crate) fn gateway(&self) -> String {
        self.on_link(1)
    }

    fn on_link(&self, number: u8) -> String {
        let file = self.state.path().join("engines").join(&self.name).join("index");
        let index: u8 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        format!("10.213.78.{}", index * 4 + number)
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> i32 {
        let file = self.state.path().join("engines").join(&self.name).join("docker.pid");
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
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
        if self.memory {
            // Lazily: what the daemon held lets go of it a moment later.
            let state = self.state.path();
            let unmounted = Command::new("umount").arg("-l").arg(state).status();
            assert!(std::thread::panicking() || unmounted.unwrap().success());
        }
        assert!(std::thread::panicking() || stopped.status.success(), "{stopped:?}");
    }
}
