//! One job through the driver's four calls, in the order and with the files and environment that GitLab
//! Runner gives. It never looks inside the driver.
//!
//! Source: GitLab's custom executor documentation, and GitLab Runner 19.4's sequence of stages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::world::World;

use super::console::JobLines;
use super::driver::{Ended, Limits};
use super::predefined::Moment;
use super::response::response;
use super::spec::{JobSpec, PipelineFacts};
use super::stages::{Scene, script};
use super::surroundings::{Config, Surroundings};
use super::workspace::Workspace;

/// How often `prepare` is tried, and how long after a failure.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(3);
/// The runner's limit for `after_script`.
const AFTER_SCRIPT: Duration = Duration::from_mins(5);

/// What all jobs need to call the driver.
pub struct Caller {
    /// Our surroundings: the runner's, from the driver's point of view.
    pub world: World,
    /// The driver's settings file, absolute.
    pub settings: PathBuf,
    /// What all jobs share.
    pub facts: PipelineFacts,
    /// Turns true when the pipeline is cancelled.
    pub cancelled: watch::Receiver<bool>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It did all it should.
    Passed,
    /// A script failed: with this code where it is known.
    ScriptFailed(i32),
    /// Not the job's fault.
    SystemFailed(String),
    /// It took longer than it may.
    TimedOut,
    /// Somebody stopped it.
    Cancelled,
}

/// What became of a job.
#[derive(Debug, Clone)]
pub struct JobReport {
    /// How it ended.
    pub ending: Ending,
    /// Calls in order, with the time each took.
    pub times: Vec<(String, Duration)>,
}

/// A job on its way through the calls.
pub struct JobRun {
    at: Surroundings,
    lines: JobLines,
    deadline: Instant,
    times: Vec<(String, Duration)>,
}

impl JobRun {
    /// A job with its directory made below `parent`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(
        caller: Arc<Caller>,
        spec: JobSpec,
        lines: JobLines,
        parent: &Path,
    ) -> std::io::Result<Self> {
        let files = Workspace::new(parent, &format!("custom-executor{}", spec.id))?;
        let deadline = Instant::now() + spec.timeout;
        let moment = Moment { status: "running", ..Moment::default() };
        let at = Surroundings { caller, spec, files, moment, config: Config::default() };
        Ok(Self { at, lines, deadline, times: Vec::new() })
    }

    /// Runs it, from `config` to `cleanup`.
    pub async fn run(mut self) -> JobReport {
        if *self.at.caller.cancelled.borrow() {
            return JobReport { ending: Ending::Cancelled, times: Vec::new() };
        }
        // Waiting for a place is not the job's time.
        self.deadline = Instant::now() + self.at.spec.timeout;
        let ending = match self.prepared().await {
            Ok(()) => self.stages().await,
            Err(ending) => ending,
        };
        self.cleanup(&ending).await;
        JobReport { ending, times: self.times }
    }

    /// Calls `config` and `plan`: what the driver would do.
    ///
    /// # Errors
    /// When either fails.
    pub async fn plan(mut self) -> Result<Vec<u8>, Ending> {
        self.configured().await?;
        let call = self.at.call(&["plan".into()]);
        match call.ask(&self.lines).await {
            Ok((Ended::Code(0), plan)) => Ok(plan),
            Ok((Ended::Code(1), _)) => Err(Ending::ScriptFailed(1)),
            Ok((ended, _)) => Err(Ending::SystemFailed(format!("plan ended with {ended:?}"))),
            Err(error) => Err(not_started("plan", &error)),
        }
    }

    async fn prepared(&mut self) -> Result<(), Ending> {
        for attempt in 1..=TRIES {
            let result = match self.configured().await {
                Ok(()) => self.called("prepare", vec!["prepare".into()]).await,
                Err(ending) => Err(ending),
            };
            let Err(ending) = result else { return Ok(()) };
            if attempt == TRIES || !matches!(ending, Ending::SystemFailed(_)) {
                return Err(ending);
            }
            self.lines
                .error(&format!("prepare failed, try {} of {TRIES} follows in 3 s", attempt + 1));
            self.cleanup(&ending).await;
            let mut limits = self.limits();
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                why = limits.reached() => return Err(early(why)),
            }
        }
        Ok(())
    }

    async fn configured(&mut self) -> Result<(), Ending> {
        self.at.moment = Moment { status: "running", ..Moment::default() };
        self.at.config = Config::default();
        let begun = Instant::now();
        let json = response(&self.at.spec, &self.at.caller.facts, &self.at.image());
        let written = self.at.files.write("response.json", json.to_string().as_bytes(), 0o600);
        written.map_err(|error| {
            Ending::SystemFailed(format!("failed to write the job's JSON: {error}"))
        })?;
        let answer = self.at.call(&["config".into()]).ask(&self.lines).await;
        self.took("config", begun);
        match answer {
            Ok((Ended::Code(0), json)) => self.accept(&json),
            Ok((Ended::Code(1), _)) => Err(Ending::ScriptFailed(1)),
            Ok((ended, _)) => Err(Ending::SystemFailed(format!("config ended with {ended:?}"))),
            Err(error) => Err(not_started("config", &error)),
        }
    }

    fn accept(&mut self, json: &[u8]) -> Result<(), Ending> {
        self.at.config = serde_json::from_slice(json)
            .map_err(|error| Ending::SystemFailed(format!("config answered no JSON: {error}")))?;
        if self.at.config.builds_dir.is_empty() {
            return Err(Ending::SystemFailed("config answered no builds_dir".to_owned()));
        }
        self.at.moment.builds_dir.clone_from(&self.at.config.builds_dir);
        self.at.moment.project_dir =
            format!("{}/{}", self.at.config.builds_dir, self.at.caller.facts.project);
        Ok(())
    }

    async fn stages(&mut self) -> Ending {
        let mut ending = self.stage("prepare_script").await;
        for name in ["get_sources", "restore_cache", "download_artifacts"] {
            if ending == Ending::Passed {
                ending = self.stage(name).await;
            }
        }
        if ending == Ending::Passed {
            ending = self.stage("build_script").await;
            if ending == Ending::TimedOut {
                return ending;
            }
            self.set_status(&ending);
            self.after_script().await;
        }
        match ending {
            Ending::TimedOut => return ending,
            Ending::Cancelled => {}
            Ending::Passed => {
                // A cache that cannot be kept is no failure of the job: its script only says so.
                ending = self.stage("archive_cache").await;
                if ending == Ending::Passed {
                    ending = self.stage("upload_artifacts_on_success").await;
                }
            }
            // What failed first is what is told.
            _ => {
                drop(self.stage("archive_cache_on_failure").await);
                drop(self.stage("upload_artifacts_on_failure").await);
            }
        }
        self.set_status(&ending);
        // Only logged, as with the runner.
        drop(self.unlimited("cleanup_file_variables", None).await);
        ending
    }

    async fn after_script(&mut self) {
        let deadline = self.deadline.min(Instant::now() + AFTER_SCRIPT);
        let ending = self.unlimited("after_script", Some(deadline)).await;
        if ending != Ending::Passed {
            self.lines.error("WARNING: after_script failed, but the job goes on");
        }
    }

    fn set_status(&mut self, ending: &Ending) {
        self.at.moment.status = match ending {
            Ending::Passed => "success",
            Ending::Cancelled => "canceled",
            _ => "failed",
        };
    }

    async fn stage(&mut self, name: &str) -> Ending {
        let limits = self.limits();
        self.run_stage(name, limits).await
    }

    /// A stage that runs although the job was cancelled.
    async fn unlimited(&mut self, name: &str, deadline: Option<Instant>) -> Ending {
        self.run_stage(name, Limits { deadline, cancelled: None }).await
    }

    async fn run_stage(&mut self, name: &str, limits: Limits) -> Ending {
        let variables = self.at.variables();
        let scene = Scene {
            spec: &self.at.spec,
            facts: &self.at.caller.facts,
            variables: &variables,
            project_dir: &self.at.moment.project_dir,
            cache_dir: &self.at.config.cache_dir,
        };
        let Some(text) = script(name, &scene) else { return Ending::Passed };
        let file = format!("script{}/script", self.times.len());
        let path = match self.at.files.write(&file, text.as_bytes(), 0o700) {
            Ok(path) => path,
            Err(error) => {
                return Ending::SystemFailed(format!("failed to write a script: {error}"));
            }
        };
        let words = vec!["run".into(), path.into_os_string(), name.into()];
        match self.limited(name, words, limits).await {
            Ok(()) => Ending::Passed,
            Err(ending) => ending,
        }
    }

    async fn called(&mut self, name: &str, words: Vec<OsString>) -> Result<(), Ending> {
        let limits = self.limits();
        self.limited(name, words, limits).await
    }

    async fn limited(
        &mut self,
        name: &str,
        words: Vec<OsString>,
        limits: Limits,
    ) -> Result<(), Ending> {
        self.lines.title(title(name));
        let begun = Instant::now();
        let ended = self.at.call(&words).run(&self.lines, limits).await;
        self.took(name, begun);
        match ended {
            Ok(Ended::Code(0)) => Ok(()),
            Ok(Ended::Code(1)) => Err(self.at.script_failure()),
            Ok(Ended::Code(code)) => Err(Ending::SystemFailed(format!("{name} ended with {code}"))),
            Ok(why) => Err(early(why)),
            Err(error) => Err(not_started(name, &error)),
        }
    }

    async fn cleanup(&mut self, ending: &Ending) {
        if *ending == Ending::TimedOut {
            self.set_status(ending);
        }
        let begun = Instant::now();
        let ended = self.at.call(&["cleanup".into()]).run(&self.lines, Limits::none()).await;
        self.took("cleanup", begun);
        if !matches!(ended, Ok(Ended::Code(0))) {
            self.lines.error(&format!("WARNING: cleanup failed: {ended:?}"));
        }
    }

    fn limits(&self) -> Limits {
        Limits { deadline: Some(self.deadline), cancelled: Some(self.at.caller.cancelled.clone()) }
    }

    /// A call that is made again counts as one.
    fn took(&mut self, name: &str, begun: Instant) {
        let time = begun.elapsed();
        match self.times.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += time,
            None => self.times.push((name.to_owned(), time)),
        }
    }
}

fn early(why: Ended) -> Ending {
    if why == Ended::TimedOut { Ending::TimedOut } else { Ending::Cancelled }
}

fn not_started(name: &str, error: &std::io::Error) -> Ending {
    Ending::SystemFailed(format!("failed to start {name}: {error}"))
}

/// What GitLab shows above a stage.
fn title(name: &str) -> &str {
    match name {
        "prepare" => "Preparing the custom executor",
        "prepare_script" => "Preparing environment",
        "get_sources" => "Getting source from Git repository",
        "restore_cache" => "Restoring cache",
        "archive_cache" | "archive_cache_on_failure" => "Saving cache",
        "download_artifacts" => "Downloading artifacts",
        "build_script" => "Executing the script",
        "after_script" => "Running after_script",
        "upload_artifacts_on_success" | "upload_artifacts_on_failure" => "Uploading artifacts",
        "cleanup_file_variables" => "Cleaning up file based variables",
        other => other,
    }
}
