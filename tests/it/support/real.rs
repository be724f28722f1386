//! The real binary on the real daemon: a settings file of the test's own, the fake runner in front of it,
//! single calls by hand, and a watch on what a job leaves behind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use longshore::secrets::vault::{RoleId, VaultSettings};
use serde_json::Value;
use tempfile::TempDir;

use super::bao::write_private;
use super::environment::{Moment, custom_env};
use super::fake_runner::FakeRunner;
use super::job_json::FakeJob;
use super::running::JobResult;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_longshore");
pub(crate) const BUSYBOX: &str = "longshore-test/busybox:1";

/// The daemon's socket. `script/test` runs the real jobs a second time, on a newer daemon.
pub(crate) fn socket() -> PathBuf {
    std::env::var_os("LONGSHORE_TEST_DOCKER_SOCKET")
        .map_or_else(|| "/var/run/docker.sock".into(), PathBuf::from)
}

/// The same as an address.
pub(crate) fn docker_host() -> String {
    format!("unix://{}", socket().display())
}

/// A host set up for one test: settings, state directory.
pub(crate) struct Host {
    directory: TempDir,
    top: BTreeMap<&'static str, String>,
    docker: BTreeMap<&'static str, String>,
    tables: String,
    memory: Option<TempDir>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let directory = TempDir::with_prefix("longshore-test-host-").unwrap();
        let state = directory.path().join("state").display().to_string();
        // Shared by all tests, as the slots are: it holds the lock on choosing one.
        let run = std::env::temp_dir().join("longshore-test-run").display().to_string();
        let (top, docker) = ([].into(), [].into());
        let host = Self { directory, top, docker, tables: String::new(), memory: None };
        host.top("state_dir", &format!("{state:?}"))
            .top("reap_interval", "\"0s\"")
            .top("run_dir", &format!("{run:?}"))
            .docker("host", &format!("{:?}", docker_host()))
            .docker("helper_image", "\"longshore-git:latest\"")
            .docker("pull_policy", "[\"if-not-present\"]")
            .docker("slot_prefix", "\"longshore-test-slot-\"")
    }

    /// A key above all tables, with its value as TOML.
    pub(crate) fn top(mut self, key: &'static str, value: &str) -> Self {
        self.top.insert(key, value.to_owned());
        self.written()
    }

    /// Puts `run_dir` on a tmpfs, and in it a lock that is all tests'.
    pub(crate) fn in_memory(mut self) -> Self {
        let shared = std::env::temp_dir().join("longshore-test-run");
        fs::create_dir_all(&shared).unwrap();
        let directory = TempDir::with_prefix_in("longshore-test-run-", "/dev/shm").unwrap();
        std::os::unix::fs::symlink(shared.join("slots.lock"), directory.path().join("slots.lock"))
            .unwrap();
        let path = directory.path().display().to_string();
        self.memory = Some(directory);
        self.top("run_dir", &format!("{path:?}"))
    }

    /// `run_dir` of a host [`Self::in_memory`].
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.memory.as_ref().unwrap().path().to_owned()
    }

    /// The files of kept tokens, of a host [`Self::in_memory`].
    pub(crate) fn kept_tokens(&self) -> Vec<PathBuf> {
        let tokens = self.memory.as_ref().unwrap().path().join("tokens");
        let entries = fs::read_dir(tokens).map(|all| all.map(|one| one.unwrap().path()).collect());
        entries.unwrap_or_default()
    }

    /// A key of `[docker]`.
    pub(crate) fn docker(mut self, key: &'static str, value: &str) -> Self {
        self.docker.insert(key, value.to_owned());
        self.written()
    }

    /// Further TOML.
    pub(crate) fn table(mut self, toml: &str) -> Self {
        self.tables.push_str(toml);
        self.written()
    }

    /// Jobs have the brokered socket, and the tests' own images on it.
    pub(crate) fn brokered() -> Self {
        Self::new()
            .docker("docker_socket", "\"brokered\"")
            .docker("shared_images", "[\"longshore-test/*\"]")
            .table("[broker]\nallowed_images = [\"longshore-test/*\"]\n")
    }

    /// With this server, its role's id in a file.
    pub(crate) fn vault(self, vault: &VaultSettings) -> Self {
        let RoleId::Value(role_id) = &vault.approle.role_id else { panic!("the role's id") };
        let file = self.path("role_id");
        write_private(&file, std::str::from_utf8(role_id.expose()).unwrap());
        self.table(&format!(
            "[vault]\naddress = \"{}\"\ndeadline = \"{}s\"\n[vault.approle]\nrole_id_file = \"{}\"\nsecret_id_file = \"{}\"\n",
            vault.address,
            vault.deadline.as_secs(),
            file.display(),
            vault.approle.secret_id.place()
        ))
    }

    fn written(self) -> Self {
        let mut text = String::new();
        for (key, value) in &self.top {
            writeln!(text, "{key} = {value}").unwrap();
        }
        writeln!(text, "[docker]").unwrap();
        let mut docker = self.docker.clone();
        share(&mut docker);
        for (key, value) in &docker {
            writeln!(text, "{key} = {value}").unwrap();
        }
        text.push_str(&self.tables);
        fs::write(self.settings(), text).unwrap();
        self
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.path("longshore.toml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn ledger(&self) -> String {
        fs::read_to_string(self.path("state/ledger.jsonl")).unwrap()
    }

    /// A runner that calls the real binary with these settings.
    pub(crate) fn runner(&self) -> FakeRunner {
        FakeRunner::new(BINARY)
            .arguments([OsString::from("--settings"), self.settings().into_os_string()])
            .retry_interval(Duration::from_millis(10))
            .clear_env()
    }

    /// Runs a job and waits until nothing of it is left.
    pub(crate) fn run(&self, job: &FakeJob) -> JobResult {
        let result = self.runner().run(job);
        await_gone(job);
        result
    }

    /// A single call of the binary as the runner makes it for this job.
    pub(crate) fn call(&self, job: &FakeJob, words: &[&str]) -> Output {
        self.command(job, words).output().unwrap()
    }

    /// The same, to be changed before it is run.
    pub(crate) fn command(&self, job: &FakeJob, words: &[&str]) -> Command {
        let response = self.path("response.json");
        fs::write(&response, job.response_bytes()).unwrap();
        let moment = Moment {
            builds_dir: "/builds".into(),
            project_dir: format!("/builds/{}", job.project_path),
            cache_dir: "/cache".into(),
            status: "running".into(),
            runner_version: "19.3.0".into(),
        };
        let mut command = self.bare(words);
        command
            .env("JOB_RESPONSE_FILE", response)
            .env("BUILD_EXIT_CODE_FILE", self.path("build_exit_code"))
            .env("BUILD_FAILURE_EXIT_CODE", "1")
            .env("SYSTEM_FAILURE_EXIT_CODE", "2")
            .envs(custom_env(job, &moment));
        command
    }

    /// `longshore reap` with these options.
    pub(crate) fn reap(&self, options: &[&str]) -> Output {
        let _beside = REAPS.read().unwrap_or_else(PoisonError::into_inner);
        self.reap_alone(options)
    }

    /// The same, where the test has [`no_other_reap`] in hand.
    pub(crate) fn reap_alone(&self, options: &[&str]) -> Output {
        self.bare(&[&["reap"], options].concat()).output().unwrap()
    }

    /// The binary with these settings and none of the runner's environment.
    pub(crate) fn bare(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--settings").arg(self.settings()).args(words).env_clear().stdin(Stdio::null());
        command
    }
}

impl Host {
    /// Waits until no cleanup is under way any more, by the ledger.
    pub(crate) fn await_workers(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let ledger = self.path("state/ledger.jsonl");
        // A test may have put a device in its place, which gives bytes without end.
        let is_file = fs::symlink_metadata(&ledger).is_ok_and(|about| about.is_file());
        let at_work = || {
            let text = fs::read_to_string(&ledger).unwrap_or_default();
            let count = |event: &str| text.matches(&format!("\"event\":\"{event}\"")).count();
            count("removing") > count("removed")
        };
        while is_file && !std::thread::panicking() && at_work() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Host {
    /// What a worker writes last, after all is gone, would make the directory anew.
    fn drop(&mut self) {
        self.await_workers();
    }
}

/// Says of the tests' own images that they are for all: with the containerd image store every image has a digest
/// of its name, as if it had been pulled.
fn share(docker: &mut BTreeMap<&'static str, String>) {
    let Ok(images) = std::env::var("LONGSHORE_TEST_SHARED_IMAGES") else { return };
    let shared = docker.entry("shared_images").or_insert_with(|| "[]".to_owned());
    let named = shared.trim_matches(['[', ']']).to_owned();
    let comma = if named.is_empty() { "" } else { ", " };
    *shared = format!("[{named}{comma}{images}]");
}

/// A reap takes what any dead job left, other tests' too: all are readers here, and a test that looks at what
/// a dead job left is the writer meanwhile.
static REAPS: RwLock<()> = RwLock::new(());

/// Keeps all other tests' reaps out until it is dropped.
pub(crate) fn no_other_reap() -> RwLockWriteGuard<'static, ()> {
    // A test that failed with it in hand has nothing to do with the next one.
    REAPS.write().unwrap_or_else(PoisonError::into_inner)
}

/// What a single call wrote to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A job in the small image with a shell.
pub(crate) fn busybox<S: Into<String>>(script: impl IntoIterator<Item = S>) -> FakeJob {
    FakeJob::new().image(BUSYBOX).script(script)
}

/// Asserts that a text holds all of these.
pub(crate) fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

/// Waits until nothing of the job is left on the daemon: cleanup's worker goes on after the job.
pub(crate) fn await_gone(job: &FakeJob) {
    await_gone_from(&socket(), job);
}

/// The same, of another daemon.
pub(crate) fn await_gone_from(socket: &Path, job: &FakeJob) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let left = left_on(socket, job);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {left:?}");
        // The daemon's events would need a connection of their own; a look is cheap.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Names of the containers, networks, volumes and images of a job that are there now.
pub(crate) fn left_of(job: &FakeJob) -> Vec<String> {
    left_on(&socket(), job)
}

/// The same, of another daemon.
pub(crate) fn left_on(socket: &Path, job: &FakeJob) -> Vec<String> {
    let prefix = format!("longshore-{}-", job.id);
    let containers = get_from(socket, "/containers/json?all=1");
    let names =
        containers.as_array().unwrap().iter().flat_map(|one| one["Names"].as_array().unwrap());
    let networks = get_from(socket, "/networks");
    let volumes = get_from(socket, "/volumes");
    let images = get_from(socket, "/images/json");
    let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let by_name = [list(&networks), list(&volumes["Volumes"])].concat();
    let tags = list(&images).into_iter().flat_map(|image| list(&image["RepoTags"]));
    let tags = tags.map(|tag| tag.as_str().unwrap().to_owned());
    let of_job = tags.filter(|tag| tag.starts_with(&format!("longshore.invalid/{}-", job.id)));
    names
        .map(|name| name.as_str().unwrap().trim_start_matches('/').to_owned())
        .chain(by_name.iter().map(|one| one["Name"].as_str().unwrap().to_owned()))
        .filter(|name| name.starts_with(&prefix))
        .chain(of_job)
        .collect()
}

/// One GET of the daemon's API.
pub(crate) fn get(path: &str) -> Value {
    get_from(&socket(), path)
}

/// The same, of another daemon.
pub(crate) fn get_from(socket: &Path, path: &str) -> Value {
    let mut socket = UnixStream::connect(socket).expect("a Docker daemon must be there");
    write!(socket, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (_head, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The job container, while the job runs: its name.
pub(crate) fn job_container(job: &FakeJob) -> String {
    let found = left_of(job).into_iter().find(|name| name.ends_with("-job"));
    found.expect("the job's container")
}
