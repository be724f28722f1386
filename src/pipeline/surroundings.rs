//! What a call of the driver is surrounded with: files, environment, working directory. It starts
//! nothing.
//!
//! Source: GitLab's custom executor documentation, "Config" and "Run".

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::job::expand;

use super::driver::DriverCall;
use super::job_run::{Caller, Ending};
use super::predefined::{Moment, of_runner};
use super::source::is_git_variable;
use super::spec::{JobSpec, expanded};
use super::workspace::Workspace;

/// What `config` answers, as far as the runner acts upon it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where projects are checked out.
    pub builds_dir: String,
    /// Where caches are kept.
    pub cache_dir: String,
    /// Goes into the environment of later calls.
    pub job_env: BTreeMap<String, String>,
}

/// A job as its calls see it.
pub struct Surroundings {
    /// How the driver is called.
    pub caller: Arc<Caller>,
    /// The job.
    pub spec: JobSpec,
    /// The job's directory, removed with this.
    pub files: Workspace,
    /// Where the job is in its life.
    pub moment: Moment,
    /// What `config` answered.
    pub config: Config,
}

impl Surroundings {
    /// Every variable once, expanded, as of now.
    pub fn variables(&self) -> Vec<(String, String)> {
        let image = self.image();
        let mut all = of_runner(&self.spec, &self.moment, &image);
        all.extend(self.spec.variables.iter().cloned());
        expanded(&all)
    }

    /// The image's expanded name; empty where the job names none.
    pub fn image(&self) -> String {
        let Some(image) = &self.spec.job.image else { return String::new() };
        let known = expanded(&self.spec.variables);
        let value =
            |name: &str| known.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        expand::expand(&image.name, value)
    }

    fn exit_code_file(&self) -> PathBuf {
        self.files.path().join("build_exit_code")
    }

    /// A call of the driver with these arguments.
    pub fn call(&self, words: &[OsString]) -> DriverCall<'_> {
        let mut arguments =
            vec!["--settings".into(), self.caller.settings.clone().into_os_string()];
        arguments.extend_from_slice(words);
        DriverCall {
            executable: &self.caller.world.executable,
            arguments,
            environment: self.environment(),
            directory: self.files.path().to_owned(),
        }
    }

    /// What comes later wins: `job_env` may override the runner's own, never the job's variables.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        let inherited = self.caller.world.environment.iter();
        let mut all: Vec<(OsString, OsString)> = inherited
            .filter(|(name, _)| !is_foreign(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let files = self.files.path();
        all.push(("TMPDIR".into(), files.into()));
        all.push(("JOB_RESPONSE_FILE".into(), files.join("response.json").into()));
        all.push(("BUILD_EXIT_CODE_FILE".into(), self.exit_code_file().into()));
        all.push(("BUILD_FAILURE_EXIT_CODE".into(), "1".into()));
        all.push(("SYSTEM_FAILURE_EXIT_CODE".into(), "2".into()));
        all.extend(self.config.job_env.iter().map(|(name, value)| (name.into(), value.into())));
        let variables = self.variables().into_iter();
        all.extend(
            variables.map(|(name, value)| (format!("CUSTOM_ENV_{name}").into(), value.into())),
        );
        all
    }

    /// The code that the driver wrote; an integer in the first line, else this is no script's failure.
    pub fn script_failure(&self) -> Ending {
        let Ok(text) = std::fs::read_to_string(self.exit_code_file()) else {
            return Ending::ScriptFailed(1);
        };
        match text.lines().next().unwrap_or_default().trim().parse() {
            Ok(code) => Ending::ScriptFailed(code),
            Err(_) => Ending::SystemFailed("BUILD_EXIT_CODE_FILE holds no number".to_owned()),
        }
    }
}

/// What a service like the runner would not inherit: a git hook's variables, another job's.
fn is_foreign(name: &std::ffi::OsStr) -> bool {
    is_git_variable(name) || name.as_encoded_bytes().starts_with(b"CUSTOM_ENV_")
}
