//! What the broker knows of one job: who it is and what it has made. Changes only by notes of what has
//! become of requests; asks nobody. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::plan::container::{Labels, LimitPlan};

use super::outgoing::{Kind, Note};

/// Tells which secret of the job a text contains, in any form; `None` for none.
pub type SecretFinder = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// One job, as the policy sees it.
#[derive(Clone)]
pub struct JobView {
    /// Names everything of the job.
    pub key: String,
    /// What every object of it carries.
    pub labels: Labels,
    /// What a container of it may have at most.
    pub limits: LimitPlan,
    /// The network of the job's containers, by name.
    pub network: String,
    /// The address of that network's bridge on the host, where ports are published; `None` publishes
    /// none.
    pub gateway: Option<String>,
    /// Where the job is checked out.
    pub workspace: Workspace,
    /// The CI file's name of its stage.
    pub ci_stage: String,
    /// Full commit SHA.
    pub commit: String,
    /// The daemon.
    pub daemon: Daemon,
    /// Finds secrets.
    pub secrets: SecretFinder,
    /// What it has made.
    pub own: Own,
    /// A text that nobody can guess, new for each request: names what the job left unnamed.
    pub fresh: String,
}

/// The volume that the job's directory lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The volume's name.
    pub volume: String,
    /// Where it is mounted in the job container.
    pub mounted_at: String,
    /// The project's directory, at or below that.
    pub project_dir: String,
}

/// What the daemon told of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Minor number of its newest API version: 41 for 1.41.
    pub api_minor: u32,
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
}

/// What the job has made: ids as the daemon has them, with the job's own names for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// By kind and id (64 hex digits; a volume's name at the daemon).
    pub objects: BTreeMap<Kind, BTreeMap<String, String>>,
    /// Images it may use: references as the daemon knows them, with their ids (`sha256:…`).
    pub images: BTreeMap<String, String>,
    /// Images without a name that it may use.
    pub image_ids: BTreeSet<String>,
}

impl JobView {
    /// Writes down what has become of a request; `id` is what the daemon answered to a create.
    pub fn record(&mut self, note: &Note, id: Option<&str>) {
        let objects = &mut self.own.objects;
        match (note, id) {
            (Note::Created { kind, name }, Some(id)) => {
                objects.entry(*kind).or_default().insert(id.to_owned(), name.clone());
            }
            (Note::Removed { kind, id }, _) => {
                objects.entry(*kind).or_default().remove(id);
            }
            (Note::Renamed { id, name }, _) => {
                objects.entry(Kind::Container).or_default().insert(id.clone(), name.clone());
            }
            (Note::Untagged { reference }, _) => {
                self.own.images.remove(reference);
            }
            (Note::Created { .. } | Note::Images { .. }, _) => {}
        }
    }

    /// Writes down which image a reference is.
    pub fn record_image(&mut self, reference: &str, id: &str) {
        self.own.images.insert(reference.to_owned(), id.to_owned());
        self.own.image_ids.insert(id.to_owned());
    }
}
