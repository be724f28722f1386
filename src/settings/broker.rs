//! `[broker]`: what jobs may do through a brokered Docker socket.

use serde::Deserialize;

use super::value::overlay;
use super::{ByteSize, Patterns, Problem};

/// `[broker]`. What is left out keeps the more general value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerSettings {
    /// Images that jobs may pull, run and build from, besides the project's own; those of
    /// `docker.allowed_images` by default.
    pub allowed_images: Option<Patterns>,
    /// The project's own repository, instead of its `CI_REGISTRY_IMAGE`.
    pub repository: Option<String>,
    /// Which stages may push which tags of it; the first entry that names the stage counts.
    pub push: Option<Vec<PushRule>>,
    /// Whether ports can be published, on the address of the job's own network.
    pub publish: Option<bool>,
    /// Containers that a job may have at once.
    pub max_containers: Option<u32>,
    /// Networks that a job may have at once.
    pub max_networks: Option<u32>,
    /// Volumes that a job may have at once.
    pub max_volumes: Option<u32>,
    /// Exec instances that a stage may have.
    pub max_execs: Option<u32>,
    /// Largest build context, and largest archive copied into a container.
    pub max_upload: Option<ByteSize>,
}

/// One entry of `push`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushRule {
    /// Names of the CI file's stages.
    pub stages: Patterns,
    /// Tags, as globs with the pipeline's own values.
    pub tags: Vec<String>,
    /// Only for protected refs.
    #[serde(default)]
    pub protected_only: bool,
}

impl BrokerSettings {
    /// These settings where `own` has none.
    #[must_use]
    pub fn with(&self, own: &Self) -> Self {
        overlay!(
            self,
            own,
            allowed_images,
            repository,
            push,
            publish,
            max_containers,
            max_networks,
            max_volumes,
            max_execs,
            max_upload,
        )
    }

    pub(super) fn check(&self, key: &str) -> Problem {
        let fail = |name: &str, problem: &str| Err((format!("{key}.{name}"), problem.to_owned()));
        let counts = [
            ("max_containers", self.max_containers),
            ("max_networks", self.max_networks),
            ("max_volumes", self.max_volumes),
            ("max_execs", self.max_execs),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == Some(0)) {
            return fail(
                name,
                "must not be 0; docker_socket = \"off\" gives jobs no socket at all",
            );
        }
        if self.max_upload.is_some_and(|size| size.0 == 0) {
            return fail("max_upload", "must not be 0");
        }
        let empty = |rule: &PushRule| rule.tags.is_empty() || rule.stages.written().is_empty();
        if self.push.iter().flatten().any(empty) {
            return fail("push", "each entry needs stages and tags; `push = []` allows no push");
        }
        match self.repository.as_deref() {
            Some(text) if !text.contains('/') || text.contains("://") || text.ends_with('/') => {
                fail("repository", "write HOST/PATH, for example registry.example/$CI_PROJECT_PATH")
            }
            _ => Ok(()),
        }
    }
}
