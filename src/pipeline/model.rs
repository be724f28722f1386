//! What a `.gitlab-ci.yml` says, typed. Pure: it reads no file and runs nothing.

use std::time::Duration;

/// A whole file.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    /// Stages in the order in which they run.
    pub stages: Vec<String>,
    /// Global variables, in order.
    pub variables: Vec<(String, Variable)>,
    /// Jobs, in the order of the file.
    pub jobs: Vec<Job>,
}

/// A global variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its text.
    pub value: String,
    /// Whether `$NAME` in it stands for another variable.
    pub expand: bool,
}

/// `image:`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Reference, not expanded.
    pub name: String,
    /// Replaces the image's entrypoint.
    pub entrypoint: Vec<String>,
    /// Pull policies, tried in order.
    pub pull_policy: Vec<String>,
}

/// When a job runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    /// While no job of an earlier stage failed.
    #[default]
    OnSuccess,
    /// Once a job of an earlier stage failed.
    OnFailure,
    /// In any case.
    Always,
    /// When a person says so.
    Manual,
    /// Not at all.
    Never,
}

/// When artifacts are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ArtifactsWhen {
    /// When the job passed.
    #[default]
    OnSuccess,
    /// When the job failed.
    OnFailure,
    /// In any case.
    Always,
}

/// Whether a job may fail without failing the pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowFailure {
    /// It may not.
    #[default]
    No,
    /// It may.
    Yes,
    /// It may with these exit codes.
    ExitCodes(Vec<i32>),
}

/// `artifacts:`
#[derive(Debug, Clone, Default)]
pub struct Artifacts {
    /// Files and directories, with globs.
    pub paths: Vec<String>,
    /// What of them is left out.
    pub exclude: Vec<String>,
    /// Name of the archive.
    pub name: Option<String>,
    /// How long GitLab keeps them.
    pub expire_in: Option<String>,
    /// When they are kept.
    pub when: ArtifactsWhen,
    /// Also what git does not track.
    pub untracked: bool,
    /// Kind of report and its files.
    pub reports: Vec<(String, Vec<String>)>,
}

/// One job.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its line in the file.
    pub line: usize,
    /// Its stage.
    pub stage: String,
    /// Its image.
    pub image: Option<Image>,
    /// Its variables, in order.
    pub variables: Vec<(String, String)>,
    /// Runs before `script`, in the same shell.
    pub before_script: Vec<String>,
    /// The commands.
    pub script: Vec<String>,
    /// Runs afterwards in any case, in a shell of its own.
    pub after_script: Vec<String>,
    /// What it leaves for later jobs.
    pub artifacts: Option<Artifacts>,
    /// Whose artifacts it gets; `None` for those of all earlier stages.
    pub dependencies: Option<Vec<String>>,
    /// When it runs.
    pub when: When,
    /// Whether it may fail.
    pub allow_failure: AllowFailure,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// What a job's rules come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It belongs to the pipeline.
    Run {
        /// When.
        when: When,
        /// Whether it may fail.
        allow_failure: AllowFailure,
        /// Its variables with those of the rule.
        variables: Vec<(String, String)>,
    },
    /// It does not.
    Skip,
}

impl Job {
    /// Whether and how the job runs; `lookup` gives a variable's value.
    pub fn decide(&self, _lookup: impl Fn(&str) -> Option<String>) -> Decision {
        Decision::Run {
            when: self.when,
            allow_failure: self.allow_failure.clone(),
            variables: self.variables.clone(),
        }
    }
}

/// A file that is no pipeline.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PipelineError(pub String);
