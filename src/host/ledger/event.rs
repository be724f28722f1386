//! What the ledger tells: one shape for each thing that happens. Names of secrets, never values.

use serde::Serialize;

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// `prepare` began; nothing of the job is there yet.
    Started {
        /// The job's key.
        job: &'a str,
        /// GitLab's number of the job.
        id: u64,
        /// Its name in `.gitlab-ci.yml`.
        name: &'a str,
        /// Project path.
        project: &'a str,
        /// GitLab's number of the pipeline.
        pipeline: u64,
    },
    /// A stage ended.
    Stage {
        /// The job's key.
        job: &'a str,
        /// GitLab's name of the stage.
        stage: &'a str,
        /// How it ended.
        outcome: Ending,
        /// What its script ended with, where that was not 0.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// Seconds that the call took.
        seconds: f64,
    },
    /// `prepare` ended well.
    Prepared {
        /// The job's key.
        job: &'a str,
        /// Project path.
        project: &'a str,
        /// Image reference and id.
        image: &'a str,
        /// `sha256:...`
        image_id: &'a str,
        /// Names of the secrets the job got.
        secrets: &'a [String],
        /// Seconds since `prepare` began.
        seconds: f64,
    },
    /// References about to be removed; written before it is done.
    Pruning {
        /// The job's key.
        job: &'a str,
        /// The references.
        references: &'a [String],
    },
    /// References removed.
    Pruned {
        /// The job's key.
        job: &'a str,
        /// The references.
        references: &'a [String],
        /// Bytes freed, as far as the daemon tells.
        bytes: u64,
    },
    /// The Docker broker refused something of the job's.
    Refused {
        /// The job's key.
        job: &'a str,
        /// The rule's name.
        rule: &'a str,
        /// What is wrong; names of fields and objects, no values.
        message: &'a str,
    },
    /// A cleanup that is handed to the worker; written before it starts.
    Removing {
        /// The job's key.
        job: &'a str,
    },
    /// A cleanup that is done.
    Removed {
        /// The job's key.
        job: &'a str,
        /// What could not be removed, and why.
        left: &'a [String],
    },
    /// What `reap` removed.
    Reaped {
        /// Names of the objects.
        objects: &'a [String],
    },
}

impl Event<'_> {
    /// Whether losing it would lose something to be done: a plan is on the disk before it is acted on.
    pub(super) fn is_plan(&self) -> bool {
        matches!(self, Self::Pruning { .. })
    }
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its script succeeded.
    Success,
    /// Its script failed, or asked for what cannot be.
    JobFailure,
    /// Daemon, host, Vault or longshore failed.
    SystemFailure,
}
