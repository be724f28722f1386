//! GitLab Runner's part towards a custom executor, played faithfully enough to test a driver with: the
//! four calls, their environment and files, tries, timeouts, signals and what becomes of exit numbers.

use super::call::{Parent, RunnerProcess};
use super::calls::Caller;
use super::job_json::FakeJob;
use super::lifecycle::Lifecycle;
use super::running::{JobResult, RunningJob, Watch};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tempfile::TempDir;

/// How this runner is set up: its part of `config.toml`.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    pub driver: PathBuf,
    /// Words before `config`, `prepare`, `run`, `cleanup`.
    pub arguments: Vec<OsString>,
    /// The runner's own environment, which every call inherits.
    pub environment: BTreeMap<OsString, OsString>,
    /// `builds_dir` and `cache_dir` of config.toml, used when `config` names none.
    pub builds_dir: Option<String>,
    pub cache_dir: Option<String>,
    /// Between tries of prepare; 3 s in the real one.
    pub retry_interval: Duration,
    /// From TERM to KILL.
    pub graceful_kill_timeout: Duration,
    /// From KILL to giving the process up.
    pub force_kill_timeout: Duration,
    /// `prepare_exec_timeout`, also used for config and cleanup.
    pub exec_timeout: Duration,
    /// `CI_RUNNER_VERSION`.
    pub version: String,
}

/// A runner; each job gets directories of its own, so one runner may run many jobs at once.
#[derive(Debug, Clone)]
pub struct FakeRunner {
    settings: RunnerSettings,
    base: Arc<TempDir>,
    own_process: bool,
}

impl FakeRunner {
    /// A runner whose driver is `driver`, called as `driver config` and so on.
    pub fn new(driver: impl Into<PathBuf>) -> Self {
        Self {
            settings: RunnerSettings {
                driver: driver.into(),
                arguments: Vec::new(),
                environment: std::env::vars_os().collect(),
                builds_dir: None,
                cache_dir: None,
                retry_interval: Duration::from_secs(3),
                graceful_kill_timeout: Duration::from_mins(1),
                force_kill_timeout: Duration::from_secs(10),
                exec_timeout: Duration::from_hours(1),
                version: "19.3.0".into(),
            },
            base: Arc::new(TempDir::with_prefix("fake-runner-").expect("a temporary directory")),
            own_process: false,
        }
    }

    /// Words that stand before the call's name, such as `--settings PATH`.
    pub fn arguments<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.settings.arguments = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Sets a variable in the runner's own environment.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.settings.environment.insert(key.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Starts the runner's environment from nothing but PATH.
    pub fn clear_env(mut self) -> Self {
        self.settings.environment.retain(|key, _| key == "PATH");
        self
    }

    pub fn retry_interval(mut self, interval: Duration) -> Self {
        self.settings.retry_interval = interval;
        self
    }

    /// `graceful_kill_timeout` and `force_kill_timeout` of config.toml.
    pub fn kill_timeouts(mut self, graceful: Duration, force: Duration) -> Self {
        self.settings.graceful_kill_timeout = graceful;
        self.settings.force_kill_timeout = force;
        self
    }

    /// Time limit of config, prepare and cleanup each.
    pub fn exec_timeout(mut self, limit: Duration) -> Self {
        self.settings.exec_timeout = limit;
        self
    }

    /// `builds_dir` and `cache_dir` of config.toml.
    pub fn directories(mut self, builds: &str, cache: &str) -> Self {
        self.settings.builds_dir = Some(builds.into());
        self.settings.cache_dir = Some(cache.into());
        self
    }

    pub fn version(mut self, version: &str) -> Self {
        self.settings.version = version.into();
        self
    }

    /// Puts a process of its own between test and driver, so that `kill_runner` has something to kill.
    pub fn own_process(mut self) -> Self {
        self.own_process = true;
        self
    }

    /// Where the runner makes its `custom-executorN` directories; empty when no job is under way.
    pub fn base_dir(&self) -> &Path {
        self.base.path()
    }

    /// Runs a job to its end.
    pub fn run(&self, job: &FakeJob) -> JobResult {
        self.start(job).join()
    }

    /// Starts a job on a thread of its own.
    pub fn start(&self, job: &FakeJob) -> RunningJob {
        let (events, incoming) = mpsc::channel();
        let watch = Arc::new(Watch::default());
        let pipes = TempDir::with_prefix("fake-runner-pipes-").expect("a temporary directory");
        let runner =
            self.own_process.then(|| Arc::new(Mutex::new(RunnerProcess::spawn(pipes.path()))));
        let caller = Caller::new(
            (self.settings.clone(), job.clone()),
            runner.clone().map_or(Parent::Test, Parent::Process),
            (events.clone(), incoming),
            Arc::clone(&watch),
        );
        let lifecycle = Lifecycle::new(caller, Arc::clone(&self.base));
        let thread = std::thread::spawn(move || {
            let result = lifecycle.run();
            drop(pipes);
            result
        });
        RunningJob { watch, events, runner, thread }
    }
}
