//! The pipeline a `.gitlab-ci.yml` describes, as values. Reads nothing, expands nothing, runs
//! nothing: `$VAR` stands in the texts as it was written.

use std::time::Duration;

use super::rules::{Expression, Rule};

/// A whole pipeline: what `longshore local` runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// The stages in their order; `.pre` and `.post` only where a job is in them.
    pub stages: Vec<String>,
    /// The pipeline's own variables, in file order.
    pub variables: Vec<(String, Variable)>,
    /// The jobs in file order, hidden ones (`.name`) left out.
    pub jobs: Vec<Job>,
}

/// A variable of the whole pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The value as written, unexpanded.
    pub value: String,
    /// What it is for, if the file says so.
    pub description: Option<String>,
    /// Whether `$OTHER` in the value is expanded.
    pub expand: bool,
}

/// One job with the pipeline's defaults already in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The job's name.
    pub name: String,
    /// The line of the file its name stands on, from 1.
    pub line: usize,
    /// The stage it belongs to, one of [`Pipeline::stages`].
    pub stage: String,
    /// The image its script runs in, if any is named.
    pub image: Option<Image>,
    /// Containers beside it.
    pub services: Vec<Service>,
    /// Its own variables in file order, unexpanded; they win over the pipeline's.
    pub variables: Vec<(String, String)>,
    /// Commands run before `script`, in the same shell.
    pub before_script: Vec<String>,
    /// The commands of the job, at least one.
    pub script: Vec<String>,
    /// Commands run afterwards in a shell of their own, whatever became of `script`.
    pub after_script: Vec<String>,
    /// What it leaves for later jobs.
    pub artifacts: Option<Artifacts>,
    /// What it keeps for the next jobs of its kind, in any pipeline.
    pub caches: Vec<Cache>,
    /// Whose artifacts it takes; `None` is every job's of the earlier stages.
    pub dependencies: Option<Vec<String>>,
    /// When it is part of the pipeline at all; `None` is always.
    pub rules: Option<Vec<Rule>>,
    /// When it runs, where no rule says otherwise.
    pub when: When,
    /// Whether the pipeline passes although it fails, where no rule says otherwise.
    pub allow_failure: AllowFailure,
    /// The longest it may take.
    pub timeout: Option<Duration>,
}

/// A job's image: `image: name` or the map form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The reference, `$VAR` unexpanded.
    pub name: String,
    /// The entrypoint that replaces the image's own; empty is the image's own.
    pub entrypoint: Vec<String>,
    /// The pull policies to try in order (`always`, `if-not-present`, `never`); empty is the runner's.
    pub pull_policy: Vec<String>,
}

/// A job's service: `- name` or the map form; `$VAR` unexpanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// The image's reference.
    pub name: String,
    /// Further names of it, separated by commas or blanks.
    pub alias: String,
    /// The entrypoint that replaces the image's own; empty is the image's own.
    pub entrypoint: Vec<String>,
    /// The command that replaces the image's own; empty is the image's own.
    pub command: Vec<String>,
    /// Its own variables in file order.
    pub variables: Vec<(String, String)>,
    /// The pull policies to try in order; empty is the runner's.
    pub pull_policy: Vec<String>,
    /// `os/arch[/variant]`; empty where none is asked for.
    pub platform: String,
    /// The user; empty is the image's own.
    pub user: String,
}

/// `artifacts:` of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifacts {
    /// Globs of the files to keep.
    pub paths: Vec<String>,
    /// Globs of the files to leave out again.
    pub exclude: Vec<String>,
    /// The archive's name.
    pub name: Option<String>,
    /// How long to keep them, in GitLab's words ("1 week", "never"); checked, not parsed.
    pub expire_in: Option<String>,
    /// After which outcomes they are kept.
    pub when: ArtifactsWhen,
    /// Whether files git does not know are kept too.
    pub untracked: bool,
    /// Reports by kind (`junit`, `dotenv`, ..) with their paths.
    pub reports: Vec<(String, Vec<String>)>,
}

/// One entry of `cache:`; `$VAR` unexpanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Jobs with the same key share it.
    pub key: String,
    /// Keys to restore from where there is none of the first, in order.
    pub fallback_keys: Vec<String>,
    /// Globs of the files to keep.
    pub paths: Vec<String>,
    /// Whether files git does not know are kept too.
    pub untracked: bool,
    /// After which outcomes it is kept.
    pub when: ArtifactsWhen,
    /// Whether it is restored, kept, or both.
    pub policy: CachePolicy,
}

/// What a job does with a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePolicy {
    /// Restores it before and keeps it after.
    #[default]
    PullPush,
    /// Only restores it.
    Pull,
    /// Only keeps it.
    Push,
}

/// After which outcomes of a job its artifacts and caches are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArtifactsWhen {
    /// The job passed.
    #[default]
    OnSuccess,
    /// The job failed.
    OnFailure,
    /// Either.
    Always,
}

impl ArtifactsWhen {
    /// Whether a job that passed, or did not, is among them.
    pub fn includes(self, passed: bool) -> bool {
        match self {
            Self::OnSuccess => passed,
            Self::OnFailure => !passed,
            Self::Always => true,
        }
    }
}

/// When a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Every job of the earlier stages passed or was allowed to fail.
    #[default]
    OnSuccess,
    /// A job of an earlier stage failed.
    OnFailure,
    /// Whatever became of the earlier stages.
    Always,
    /// When somebody asks for it by name.
    Manual,
    /// Not at all (rules only).
    Never,
}

/// Whether the pipeline passes although the job failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowFailure {
    /// A failure is a failure.
    #[default]
    No,
    /// Any failure is allowed.
    Yes,
    /// These exit codes of the script are allowed.
    ExitCodes(Vec<i32>),
}

impl AllowFailure {
    /// Whether a job that ended with `exit_code` (`None`: by something else than its script, such as
    /// a timeout) still lets the pipeline pass.
    pub fn allows(&self, exit_code: Option<i32>) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::ExitCodes(codes) => exit_code.is_some_and(|code| codes.contains(&code)),
        }
    }
}

/// What the rules say about a job in this pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is part of the pipeline.
    Run {
        /// When it runs; never [`When::Never`].
        when: When,
        /// Whether it may fail.
        allow_failure: AllowFailure,
        /// The matching rule's variables; they win over the job's.
        variables: Vec<(String, String)>,
    },
    /// It is not.
    Skip,
}

impl Job {
    /// Whether the job is part of the pipeline: the first rule that matches decides, none matching
    /// leaves it out, and without rules it is in. `lookup` gives a variable's expanded value.
    pub fn decide(&self, lookup: impl Fn(&str) -> Option<String>) -> Decision {
        let Some(rules) = &self.rules else {
            return self.decision(self.when, None, Vec::new());
        };
        let matches =
            |rule: &&Rule| rule.condition.as_ref().is_none_or(|c: &Expression| c.holds(&lookup));
        match rules.iter().find(matches) {
            None => Decision::Skip,
            Some(rule) => self.decision(
                rule.when.unwrap_or(self.when),
                rule.allow_failure.clone(),
                rule.variables.clone(),
            ),
        }
    }

    fn decision(
        &self,
        when: When,
        allow_failure: Option<AllowFailure>,
        variables: Vec<(String, String)>,
    ) -> Decision {
        if when == When::Never {
            return Decision::Skip;
        }
        let allow_failure = allow_failure.unwrap_or_else(|| self.allow_failure.clone());
        Decision::Run { when, allow_failure, variables }
    }
}
