//! What the ledger tells: one shape for each thing that happens. Names of secrets, never values.

use serde::Serialize;

use crate::broker::outgoing::Deed;
use crate::host::gc::Trigger;
use crate::plan::prune::PrunePolicy;

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
        /// Its commit.
        commit: &'a str,
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
    /// An image was pulled for it.
    Pulled {
        /// The job's key.
        job: &'a str,
        /// Its reference, a mirror's where it came from one.
        image: &'a str,
        /// `sha256:...`
        image_id: &'a str,
        /// Bytes of its layers on this host.
        size: u64,
        /// Seconds that it took, with all tries.
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
        /// What it follows from; later, `longshore prune` knows the pipeline by it.
        policy: &'a PrunePolicy,
        /// The references.
        references: &'a [String],
        /// The image of each: it goes only while it is still that one.
        images: &'a [String],
        /// The id of the repository's `latest`.
        latest: Option<&'a str>,
    },
    /// References removed.
    Pruned {
        /// The job's key.
        job: &'a str,
        /// The references.
        references: &'a [String],
        /// Bytes freed, as far as the daemon tells.
        bytes: u64,
        /// What stayed though it was planned, and what is wrong.
        left: &'a [String],
    },
    /// Tags removed from the registry.
    Untagged {
        /// The job's key.
        job: &'a str,
        /// The references.
        references: &'a [String],
        /// What stayed though it was planned, and what is wrong.
        left: &'a [String],
    },
    /// The runner is done with the job, or with this try of its `prepare`.
    Finished {
        /// The job's key.
        job: &'a str,
        /// GitLab's word: `success`, `failed`, `canceled`, and `running` where it has none yet; `unknown` where
        /// the job has its own `CI_JOB_STATUS`, which hides GitLab's.
        status: &'a str,
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
    /// The job did something to images through its brokered socket.
    Image {
        /// The job's key.
        job: &'a str,
        /// Project path.
        project: &'a str,
        /// GitLab's number of the pipeline.
        pipeline: u64,
        /// What.
        deed: Deed,
        /// Names; those without a registry are the job's alone.
        references: &'a [String],
        /// `sha256:...`, of a build those of all its stages.
        images: &'a [String],
        /// `host/path@sha256:...`, where a registry was asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<&'a str>,
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
    /// What `gc` removed; also where that was nothing.
    Collected {
        /// Who asked for room.
        trigger: Trigger,
        /// Names of images and volumes.
        objects: &'a [String],
        /// Bytes freed, as far as the daemon tells.
        images_bytes: u64,
        /// The same of volumes with projects' caches.
        cache_volumes_bytes: u64,
        /// The same of what the builder keeps.
        build_cache_bytes: u64,
        /// What could not be removed, and why.
        left: &'a [String],
    },
    /// What `reap` removed.
    Reaped {
        /// Names of the objects.
        objects: &'a [String],
        /// What could not be removed or ended, and why.
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        left: &'a [String],
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
