//! The course of one job through the four calls: which comes when, and what the outcome of each makes of
//! the job. Source: GitLab's custom executor contract, as measured on 19.3.

use super::calls::{Attempt, Caller, Fault, Limits, Reach};
use super::environment::Moment;
use super::running::{FailureReason, JobResult, JobStatus};
use super::scripts::stage_script;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// What `config` may answer; unknown keys are ignored, as the runner does.
#[derive(Debug, Default, Deserialize)]
struct ConfigAnswer {
    builds_dir: Option<String>,
    cache_dir: Option<String>,
    builds_dir_is_shared: Option<bool>,
    hostname: Option<String>,
    driver: Option<DriverName>,
    job_env: Option<BTreeMap<String, String>>,
    #[serde(rename = "shell")]
    _shell: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct DriverName {
    name: Option<String>,
    version: Option<String>,
}

/// A job on its way.
pub struct Lifecycle {
    caller: Caller,
    base: Arc<TempDir>,
    scripts: u32,
}

impl Lifecycle {
    pub fn new(caller: Caller, base: Arc<TempDir>) -> Self {
        Self { caller, base, scripts: 0 }
    }

    /// Runs the job to its end.
    pub fn run(mut self) -> JobResult {
        let outcome = self.tries();
        self.caller.say(&match outcome {
            Ok(()) => "Job succeeded".to_owned(),
            Err(fault) => format!("ERROR: Job failed: {fault:?}"),
        });
        let (status, exit_code, failure_reason) = verdict(outcome);
        self.caller.watch.update(|seen| seen.ended = true);
        JobResult {
            status,
            exit_code,
            failure_reason,
            duration: self.caller.begun.elapsed(),
            trace: self.caller.trace,
            runner_log: self.caller.runner_log,
            calls: self.caller.calls,
        }
    }

    /// Up to three tries of config and prepare, each in a directory of its own and each followed by cleanup.
    fn tries(&mut self) -> Result<(), Fault> {
        for number in 1..=3 {
            let mut attempt = self.new_attempt(number);
            let prepared = self.prepare(&mut attempt);
            let outcome = prepared.and_then(|()| self.stages(&mut attempt));
            if outcome == Err(Fault::Lost) {
                return outcome; // a dead runner cleans nothing up
            }
            self.cleanup(&attempt)?;
            if !matches!(prepared, Err(Fault::System | Fault::CallTimeout)) {
                return outcome;
            }
            self.caller.say("WARNING: Preparation failed, will be retried");
            self.caller.pause()?; // after the last try too, as measured
        }
        Err(Fault::System)
    }

    fn new_attempt(&mut self, number: u32) -> Attempt {
        let name = format!("custom-executor{}{number}", self.caller.job.id);
        let directory = self.base.path().join(name);
        make_private_dir(&directory);
        write_private(&directory.join("response.json"), &self.caller.job.response_bytes(), 0o600);
        let moment = Moment {
            status: "running".into(),
            runner_version: self.caller.settings.version.clone(),
            ..Moment::default()
        };
        Attempt { number, directory, moment, ..Attempt::default() }
    }

    fn prepare(&mut self, attempt: &mut Attempt) -> Result<(), Fault> {
        let call = Some(self.caller.settings.exec_timeout);
        let limits = Limits { call, reach: Reach::Cancel };
        let answer = self.caller.call(attempt, &["config".into()], limits)?;
        self.configure(attempt, &answer)?;
        self.caller.call(attempt, &["prepare".into()], limits).map(drop)
    }

    /// Takes up what `config` said: one JSON value or nothing at all.
    fn configure(&mut self, attempt: &mut Attempt, answer: &[u8]) -> Result<(), Fault> {
        let answer = if answer.is_empty() { b"{}" } else { answer };
        let answer: ConfigAnswer = serde_json::from_slice(answer).map_err(|error| {
            self.caller.say(&format!("ERROR: parsing JSON config output: {error}"));
            Fault::System
        })?;
        if let Some(DriverName { name, version }) = &answer.driver {
            let (name, version) = (name.as_deref(), version.as_deref());
            let text = format!("{} {}", name.unwrap_or_default(), version.unwrap_or_default());
            self.caller.say(&format!("Using Custom executor with driver {}...", text.trim()));
        }
        let host = answer.hostname.as_deref().unwrap_or("localhost");
        self.caller.say(&format!("Running on {host} via fake-runner..."));
        self.directories(attempt, &answer)?;
        attempt.job_env = answer.job_env.unwrap_or_default();
        Ok(())
    }

    fn directories(&mut self, attempt: &mut Attempt, answer: &ConfigAnswer) -> Result<(), Fault> {
        let chosen = |said: &Option<String>, set: &Option<String>| {
            said.clone().filter(|directory| !directory.is_empty()).or_else(|| set.clone())
        };
        let settings = &self.caller.settings;
        let builds = chosen(&answer.builds_dir, &settings.builds_dir);
        let cache = chosen(&answer.cache_dir, &settings.cache_dir);
        let (Some(builds), Some(cache)) = (builds, cache) else {
            self.caller
                .say("ERROR: the builds_dir and cache_dir must be set for the custom executor");
            return Err(Fault::Configuration);
        };
        let job = &self.caller.job;
        let shared = answer.builds_dir_is_shared.unwrap_or(false);
        let middle = if shared { "/t0k3n8chr/0" } else { "" };
        let cloned =
            job.value_of("GIT_CLONE_PATH").map(|path| path.replace("$CI_BUILDS_DIR", &builds));
        attempt.moment.project_dir =
            cloned.unwrap_or_else(|| format!("{builds}{middle}/{}", job.project_path));
        attempt.moment.cache_dir = format!("{cache}/{}", job.project_path);
        attempt.moment.builds_dir = builds;
        Ok(())
    }

    /// The stages in GitLab's order; only those that have something to do are sent.
    fn stages(&mut self, attempt: &mut Attempt) -> Result<(), Fault> {
        self.stage(attempt, "prepare_script", None)
            .inspect_err(|fault| set_status(attempt, *fault))?;
        let early = self.early_stages(attempt);
        // What is canceled before the user's script begins has nothing but cleanup before it.
        let outcome = match early {
            Ok(()) => self.user_stages(attempt),
            Err(fault) => {
                set_status(attempt, fault);
                if fault == Fault::Canceled { Err(Fault::Aborted) } else { early }
            }
        };
        if let Err(fault) = outcome
            && ends_everything(fault)
        {
            set_status(attempt, fault);
            return outcome;
        }
        let late = self.late_stages(attempt, outcome.is_ok());
        if let Err(fault) = late
            && ends_everything(fault)
        {
            return late;
        }
        let last = self.stage(attempt, "cleanup_file_variables", None);
        if last == Err(Fault::Lost) { last } else { outcome.and(late) }
    }

    fn early_stages(&mut self, attempt: &Attempt) -> Result<(), Fault> {
        self.repeated(attempt, "get_sources", "GET_SOURCES_ATTEMPTS")?;
        self.repeated(attempt, "restore_cache", "RESTORE_CACHE_ATTEMPTS")?;
        self.repeated(attempt, "download_artifacts", "ARTIFACT_DOWNLOAD_ATTEMPTS")
    }

    /// One try, or as many as the job's variable says; the second try of sources clears the tree first.
    fn repeated(&mut self, attempt: &Attempt, stage: &str, variable: &str) -> Result<(), Fault> {
        let tries = self.caller.job.value_of(variable).and_then(|n| n.parse().ok()).unwrap_or(1);
        let mut outcome = self.stage(attempt, stage, None);
        for number in 1..tries {
            match outcome {
                Err(fault) if !ends_everything(fault) && fault != Fault::Canceled => {}
                _ => return outcome,
            }
            if number == 1 && stage == "get_sources" {
                self.stage(attempt, "clear_worktree", None)?;
            }
            outcome = self.stage(attempt, stage, None);
        }
        outcome
    }

    fn user_stages(&mut self, attempt: &mut Attempt) -> Result<(), Fault> {
        let limit = self.duration_of("RUNNER_SCRIPT_TIMEOUT");
        let mut outcome = self.stage(attempt, "build_script", limit);
        let steps = self.caller.job.steps.iter().map(|(name, _)| format!("step_{name}"));
        for name in steps.collect::<Vec<_>>() {
            outcome = outcome.and_then(|()| self.stage(attempt, &name, limit));
        }
        match outcome {
            Err(fault) if ends_everything(fault) => return outcome,
            Err(fault) => set_status(attempt, fault),
            Ok(()) => attempt.moment.status = "success".into(),
        }
        let limit = self.duration_of("RUNNER_AFTER_SCRIPT_TIMEOUT");
        let after = self.stage(attempt, "after_script", limit.or(Some(Duration::from_mins(5))));
        let counts = self.caller.job.value_of("AFTER_SCRIPT_IGNORE_ERRORS") == Some("false");
        match after {
            Err(fault) if ends_everything(fault) => after,
            Err(_) if counts => outcome.and(after),
            _ => outcome,
        }
    }

    fn late_stages(&mut self, attempt: &Attempt, succeeded: bool) -> Result<(), Fault> {
        let (cache, artifacts) = if succeeded {
            ("archive_cache", "upload_artifacts_on_success")
        } else {
            ("archive_cache_on_failure", "upload_artifacts_on_failure")
        };
        let cached = self.stage(attempt, cache, None);
        match cached {
            Err(fault) if ends_everything(fault) => cached,
            _ => cached.and(self.stage(attempt, artifacts, None)),
        }
    }

    fn duration_of(&self, key: &str) -> Option<Duration> {
        let text = self.caller.job.value_of(key)?;
        Some(humantime::parse_duration(text).expect("a duration such as 10s"))
    }

    fn stage(
        &mut self,
        attempt: &Attempt,
        stage: &str,
        call: Option<Duration>,
    ) -> Result<(), Fault> {
        let Some(text) = stage_script(&self.caller.job, &attempt.moment, stage) else {
            return Ok(());
        };
        self.scripts += 1;
        let directory = attempt.directory.join(format!("script{}", self.scripts));
        make_private_dir(&directory);
        let path = directory.join("script");
        write_private(&path, text.as_bytes(), 0o700);
        let words = ["run".into(), path.into_os_string(), stage.into()];
        // Once the status is settled, a cancel has nothing left to cancel.
        let running = attempt.moment.status == "running" && stage != "cleanup_file_variables";
        let reach = if running { Reach::Cancel } else { Reach::Abort };
        self.caller.call(attempt, &words, Limits { call, reach }).map(drop)
    }

    fn cleanup(&mut self, attempt: &Attempt) -> Result<(), Fault> {
        let call = Some(self.caller.settings.exec_timeout);
        let ended =
            self.caller.call(attempt, &["cleanup".into()], Limits { call, reach: Reach::Nothing });
        match ended {
            Err(Fault::Lost) => return Err(Fault::Lost),
            Err(_) => self.caller.runner_log.extend(b"WARNING: Executor cleanup failed\n"),
            Ok(_) => {}
        }
        fs::remove_dir_all(&attempt.directory).expect("the job's directory goes");
        Ok(())
    }
}

/// After these only cleanup follows, or nothing at all.
fn ends_everything(fault: Fault) -> bool {
    matches!(fault, Fault::JobTimeout | Fault::Aborted | Fault::Lost)
}

fn set_status(attempt: &mut Attempt, fault: Fault) {
    let canceled = matches!(fault, Fault::Canceled | Fault::Aborted);
    attempt.moment.status = if canceled { "canceled" } else { "failed" }.into();
}

fn make_private_dir(path: &Path) {
    fs::DirBuilder::new().mode(0o700).create(path).expect("a directory of its own");
}

fn write_private(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).expect("the file is written");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the mode is set");
}

fn verdict(outcome: Result<(), Fault>) -> (JobStatus, Option<i32>, Option<FailureReason>) {
    use FailureReason::{
        JobExecutionTimeout, RunnerConfigurationError, RunnerSystemFailure, ScriptFailure,
    };
    let failed = |reason| (JobStatus::Failed, None, Some(reason));
    match outcome {
        Ok(()) => (JobStatus::Success, None, None),
        Err(Fault::Build(code)) => (JobStatus::Failed, Some(code), Some(ScriptFailure)),
        Err(Fault::System) => failed(RunnerSystemFailure),
        Err(Fault::Configuration) => failed(RunnerConfigurationError),
        Err(Fault::CallTimeout | Fault::JobTimeout) => failed(JobExecutionTimeout),
        Err(Fault::Canceled | Fault::Aborted) => (JobStatus::Canceled, None, None),
        Err(Fault::Lost) => (JobStatus::Lost, None, None),
    }
}
