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
    options: Vec<String>,
    pub(crate) socket: PathBuf,
    memory: bool,
}

impl Daemon {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_in(TempDir::with_prefix("longshore-test-engine-").unwrap(), options, false)
    }

    /// One whose disk is as large as these options of a tmpfs say.
    pub(crate) fn on_tmpfs(size: &str) -> Self {
        Self::in_memory(size, &[])
    }

    /// The same, with these options of its own.
    pub(crate) fn in_memory(size: &str, options: &[&str]) -> Self {
        let state = TempDir::with_prefix("longshore-test-engine-").unwrap();
        let mount = ["-t", "tmpfs", "-o", size, "longshore-test"];
        let mounted = Command::new("mount").args(mount).arg(state.path()).status().unwrap();
        assert!(mounted.success());
        Self::start_in(state, options, true)
    }

    fn start_in(state: TempDir, options: &[&str], memory: bool) -> Self {
        // At most 20 characters.
        let name = unique().replace("longshore-test-", "t");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut daemon = Self { state, name, options, socket: PathBuf::new(), memory };
        let told = daemon.again();
        daemon.socket = String::from_utf8(told.stdout).unwrap().trim().into();
        daemon.load(&[BUSYBOX]);
        daemon
    }

    /// Gives it images of the shared daemon.
    pub(crate) fn load(&self, images: &[&str]) {
        let archive = self.state.path().join("images.tar");
        let mut save = Command::new("docker");
        let saved = save.args(["save", "-o"]).arg(&archive).args(images).output();
        assert!(saved.unwrap().status.success());
        let archive = archive.display().to_string();
        self.docker(&["load", "-i", &archive]);
        std::fs::remove_file(archive).unwrap();
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
        let chosen = chosen_options();
        let options = chosen.iter().chain(&self.options).map(String::as_str).collect();
        let output = self.script(&[vec!["start", self.name.as_str()], options].concat());
        assert!(output.status.success(), "{output:?}");
        output
    }

    pub(crate) fn kill(&self) {
        let output = self.script(&["kill", &self.name]);
        assert!(output.status.success(), "{output:?}");
    }
}

/// Which engine the tests' own are, as words of `script/test-env engine start`: by hand, for one that is not
/// this host's (`--debian sid --feature containerd-snapshotter`).
pub(crate) fn chosen_options() -> Vec<String> {
    let words = std::env::var("LONGSHORE_TEST_ENGINE_OPTIONS").unwrap_or_default();
    words.split_whitespace().map(str::to_owned).collect()
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
