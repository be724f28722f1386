//! What the broker knows of one job: who it is and what it has made. Changes only by notes of what has
//! become of requests; asks nobody. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::plan::broker;
use crate::plan::container::{Labels, LimitPlan, ResolverPlan};

use super::name::{ImageName, is_hex};
use super::outgoing::{Kind, Note};
use super::refusal::{Absent, Refusal};

/// Tells which secret of the job a text contains, in any form; `None` for none.
pub type SecretFinder = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// One job, as the policy sees it.
#[derive(Clone)]
pub struct JobView {
    /// Names everything of the job.
    pub key: String,
    /// What every object that comes through the broker carries: `JobPlan::labelled("brokered")`.
    pub labels: Labels,
    /// What a container of it may have at most.
    pub limits: LimitPlan,
    /// How its containers find names.
    pub resolver: ResolverPlan,
    /// Further lines of `SecurityOpt` that hold for each container: the operator's seccomp profile.
    pub security: Vec<String>,
    /// The operator's runtime, where it is not the daemon's own.
    pub runtime: Option<String>,
    /// The network of the job's containers, by name.
    pub network: String,
    /// The same by id, where it is known.
    pub network_id: Option<String>,
    /// The address of that network's bridge on the host, where ports are published; `None` publishes
    /// none.
    pub gateway: Option<String>,
    /// The job's own container: id and host name. It may be put on networks that the job made, no more.
    pub job_container: Option<(String, String)>,
    /// Where the job is checked out.
    pub workspace: Workspace,
    /// The daemon.
    pub daemon: Daemon,
    /// Finds secrets.
    pub secrets: SecretFinder,
    /// What it has made.
    pub own: Own,
    /// A text of letters and digits that nobody can guess, new for each request: names what the job left
    /// unnamed.
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
    /// Images it may use: references written out (see [`ImageName::reference`]), with their ids
    /// (`sha256:…`).
    pub images: BTreeMap<String, String>,
    /// Ids of all images that it may use.
    pub image_ids: BTreeSet<String>,
    /// How many ports its containers publish, by id.
    pub ports: BTreeMap<String, usize>,
    /// How many of each kind are being made: their ids are not known yet.
    pub coming: BTreeMap<Kind, usize>,
}

impl fmt::Debug for JobView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JobView").field("key", &self.key).finish_non_exhaustive()
    }
}

impl JobView {
    /// Writes down what has become of a request; `id` is what the daemon answered to a create.
    pub fn record(&mut self, note: &Note, id: Option<&str>) {
        let objects = &mut self.own.objects;
        match (note, id) {
            (Note::Created { kind, name, id: known }, id) => {
                let Some(id) = known.as_deref().or(id) else { return };
                let name = if name.is_empty() { id } else { name.as_str() };
                objects.entry(*kind).or_default().insert(id.to_owned(), name.to_owned());
            }
            (Note::Published { ports }, Some(id)) => {
                self.own.ports.insert(id.to_owned(), *ports);
            }
            (Note::Removed { kind, id }, _) => {
                objects.entry(*kind).or_default().remove(id);
                self.own.ports.remove(id);
            }
            (Note::Renamed { id, name }, _) => {
                objects.entry(Kind::Container).or_default().insert(id.clone(), name.clone());
            }
            (Note::Untagged { reference }, _) => {
                self.own.images.remove(reference);
            }
            (Note::Images { .. } | Note::Pushed { .. } | Note::Published { .. }, _) => {}
        }
    }

    /// Writes down which image a reference is.
    pub fn record_image(&mut self, reference: &str, id: &str) {
        self.own.images.insert(reference.to_owned(), id.to_owned());
        self.own.image_ids.insert(id.to_owned());
    }

    /// Writes down an object that carries the job's labels, found at the daemon: its id, and its name
    /// there. One that is not called as the broker calls all it makes has the labels from an image, and is
    /// somebody else's.
    pub fn adopt(&mut self, kind: Kind, id: &str, name: &str) {
        let name = name.trim_start_matches('/');
        if kind != Kind::Exec && !name.starts_with(&self.prefix()) {
            return;
        }
        let name = self.shown(name).to_owned();
        self.own.objects.entry(kind).or_default().insert(id.to_owned(), name);
    }

    /// Objects of a kind: ids with the job's names.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&str, &str)> {
        let all = self.own.objects.get(&kind).into_iter().flatten();
        all.map(|(id, name)| (id.as_str(), name.as_str()))
    }

    /// How many of a kind there are, with those that are being made.
    pub fn count(&self, kind: Kind) -> usize {
        self.all(kind).count() + self.own.coming.get(&kind).copied().unwrap_or_default()
    }

    /// Whether an id is one of the job's.
    pub fn owns(&self, kind: Kind, id: &str) -> bool {
        self.own.objects.get(&kind).is_some_and(|all| all.contains_key(id))
    }

    /// What an object of the job is called at the daemon.
    pub fn daemon_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix())
    }

    /// Begins all such names.
    pub fn prefix(&self) -> String {
        format!("longshore-{}-x-", self.key)
    }

    /// What the job calls an object of this name.
    pub fn shown<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(&self.prefix()).unwrap_or(name)
    }

    /// The full id of an object, by name, id or the beginning of its id.
    fn find(&self, kind: Kind, given: &str) -> Option<String> {
        let given = given.trim_start_matches('/');
        let named = self.all(kind).find(|(id, name)| *id == given || *name == given);
        if let Some((id, _)) = named {
            return Some(id.to_owned());
        }
        let mut begun = self.all(kind).filter(|(id, _)| is_hex(given) && id.starts_with(given));
        match (begun.next(), begun.next()) {
            (Some((id, _)), None) => Some(id.to_owned()),
            _ => None,
        }
    }

    /// The full id of one of the job's containers.
    ///
    /// # Errors
    /// As the daemon where there is none; another job's looks the same.
    pub fn container(&self, given: &str) -> Result<String, Refusal> {
        let shown = given.trim_start_matches('/');
        self.find(Kind::Container, given).ok_or_else(|| Refusal::absent(Absent::Container, shown))
    }

    /// The full id of one of the job's exec instances.
    ///
    /// # Errors
    /// As the daemon where there is none.
    pub fn exec(&self, given: &str) -> Result<String, Refusal> {
        self.find(Kind::Exec, given).ok_or_else(|| Refusal::absent(Absent::Exec, given))
    }

    /// The id of one of the job's networks, or the job's own network.
    ///
    /// # Errors
    /// As the daemon where there is none.
    pub fn network(&self, given: &str) -> Result<String, Refusal> {
        if let Some(id) = self.find(Kind::Network, given) {
            return Ok(id);
        }
        let own = given == self.network || Some(given) == self.network_id.as_deref();
        if own || matches!(given, "default" | "bridge") {
            return Ok(self.network.clone());
        }
        Err(Refusal::absent(Absent::Network, given))
    }

    /// The name that one of the job's volumes has at the daemon.
    ///
    /// # Errors
    /// As the daemon where there is none.
    pub fn volume(&self, given: &str) -> Result<String, Refusal> {
        let mut all = self.all(Kind::Volume);
        let found = all.find(|(id, name)| *id == given || *name == given);
        found.map(|(id, _)| id.to_owned()).ok_or_else(|| Refusal::absent(Absent::Volume, given))
    }

    /// The reference under which an image that is the job's alone lies at the daemon.
    pub fn local_image(&self, name: &ImageName) -> ImageName {
        let bare = name.repository.strip_prefix("docker.io/").unwrap_or(&name.repository);
        let bare = bare.strip_prefix("library/").unwrap_or(bare);
        // A registry's port would make it no path.
        let path = bare.replace(':', "-");
        ImageName {
            repository: format!("{}{path}", self.local_prefix()),
            has_host: true,
            ..name.clone()
        }
    }

    /// Begins the references of images that are the job's alone.
    pub fn local_prefix(&self) -> String {
        broker::local_images(&self.key)
    }
}
