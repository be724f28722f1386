//! What may be wrong with a CI file, in words. Decides nothing.

use std::fmt;

use super::super::rules::ExpressionError;

/// A CI file that cannot be run, with the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} line {line}: {}{fault}", Within(.job.as_deref()))]
pub struct PipelineError {
    /// The file's name as given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The job, where it is one's.
    pub job: Option<String>,
    /// What is wrong.
    #[source]
    pub fault: Box<Fault>,
}

struct Within<'a>(Option<&'a str>);

impl fmt::Display for Within<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |job| write!(out, "job {job:?}: "))
    }
}

/// What is wrong with a CI file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No YAML at all.
    #[error("this is not YAML: {what}")]
    Syntax {
        /// The YAML reader's words.
        what: String,
    },
    /// More or less than one YAML document.
    #[error("the file holds {count} YAML documents; exactly one is supported")]
    Documents {
        /// How many it holds.
        count: usize,
    },
    /// A YAML tag such as `!reference`.
    #[error("the tag {tag} is not supported by `longshore local`; use an anchor (&name, *name)")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// A merge key whose value is no mapping.
    #[error("\"<<\" must name a mapping or a list of mappings, such as *anchor")]
    Merge,
    /// The same key twice in one mapping.
    #[error("the key {key:?} stands here twice; remove one")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// A key GitLab knows and we do not.
    #[error("the key {key:?} is not supported by `longshore local`; remove it or run it on GitLab")]
    Unsupported {
        /// The key, with its parents (`artifacts:public`).
        key: String,
    },
    /// A key nobody knows.
    #[error("unknown key {key:?}{hint}")]
    Unknown {
        /// The key, with its parents.
        key: String,
        /// The nearest known one, in words; empty if none is near.
        hint: String,
    },
    /// A value of the wrong kind.
    #[error("{key:?} must be {wanted}")]
    Shape {
        /// The key.
        key: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A plain word GitLab's YAML reads as something else than text.
    #[error(
        "{key:?} has the value {text} without quotes, which YAML does not read as text; quote it"
    )]
    Unquoted {
        /// The key.
        key: String,
        /// The word.
        text: String,
    },
    /// A word that is none of those a key takes.
    #[error("{key:?} cannot be {value:?}; it may be {allowed}")]
    Value {
        /// The key.
        key: String,
        /// The word.
        value: String,
        /// The words it takes.
        allowed: String,
    },
    /// No length of time.
    #[error(
        "{key:?} is {text:?}, which is no length of time; write it like \"1h 30m\" or \"1 week\""
    )]
    Duration {
        /// The key.
        key: String,
        /// What stands there.
        text: String,
    },
    /// A `rules:if` that cannot be read.
    #[error("the condition {text:?} cannot be read: {source}")]
    Condition {
        /// The whole condition.
        text: String,
        /// Why.
        source: ExpressionError,
    },
    /// Set in `default:` and at the top level.
    #[error(
        "{key:?} stands under \"default\" and at the top level; keep the one under \"default\""
    )]
    DefaultTwice {
        /// The key.
        key: String,
    },
    /// A job without a script.
    #[error("the job has no \"script\"; a template's name begins with a dot")]
    NoScript,
    /// A file without jobs.
    #[error("the file holds no job")]
    NoJobs,
    /// A stage that is not declared.
    #[error("the stage {stage:?} is not declared; \"stages\" has {declared}")]
    Stage {
        /// The stage.
        stage: String,
        /// Those declared.
        declared: String,
    },
    /// A dependency on nothing.
    #[error("\"dependencies\" names {name:?}, which is no job of an earlier stage")]
    Dependency {
        /// The name.
        name: String,
    },
}

/// A fault with its place, before the file's name is known.
#[derive(Debug)]
pub(super) struct Problem {
    line: usize,
    job: Option<String>,
    fault: Fault,
}

pub(super) type Read<T> = Result<T, Problem>;

impl Fault {
    /// The fault at its line.
    pub(super) fn at(self, line: usize) -> Problem {
        Problem { line, job: None, fault: self }
    }
}

impl Problem {
    /// The same in a job.
    pub(super) fn of(self, job: &str) -> Self {
        Self { job: Some(job.to_owned()), ..self }
    }

    pub(super) fn within(self, file: &str) -> PipelineError {
        let Self { line, job, fault } = self;
        PipelineError { file: file.to_owned(), line, job, fault: Box::new(fault) }
    }
}
