//! `[prune]` and `bake`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Patterns, Period, SecretRule};

/// `[prune]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PruneSettings {
    /// Whether anything is pruned.
    pub enabled: bool,
    /// Names of the CI file's stages after whose success it is done.
    pub after_stages: Vec<String>,
    /// Tags that stay, whatever `drop` says. `latest` always stays.
    pub keep: Vec<String>,
    /// Tags that go; globs, with the pipeline's own values.
    pub drop: Vec<String>,
    /// How old an image must be to go. The pipeline's own are minutes old, so none by default.
    pub min_age: Period,
    /// Whether the tags go from the registry too.
    pub registry: bool,
    /// The repository, instead of the project's `CI_REGISTRY_IMAGE`.
    pub repository: Option<String>,
}

impl PruneSettings {
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        for (key, patterns) in [("prune.keep", &self.keep), ("prune.drop", &self.drop)] {
            if let Err(error) = Patterns::new(patterns.clone()) {
                return Err((key.to_owned(), error.to_string()));
            }
        }
        Ok(())
    }

    /// Whether something is pruned after jobs of this stage of the CI file.
    pub fn is_after(&self, stage: &str) -> bool {
        self.enabled && self.after_stages.iter().any(|one| one == stage)
    }
}

impl Default for PruneSettings {
    fn default() -> Self {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            enabled: true,
            after_stages: list(&["delivery"]),
            keep: list(&["latest"]),
            drop: list(&["test", "$CI_COMMIT_SHA", "$CI_COMMIT_SHORT_SHA"]),
            min_age: Period::seconds(0),
            registry: false,
            repository: None,
        }
    }
}

/// One entry of `bake`: a secret that a repository's image may carry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BakeRule {
    /// Name of the secret.
    pub secret: String,
    /// The repository.
    pub repository: String,
}

impl BakeRule {
    pub(super) fn check(
        &self,
        secrets: &BTreeMap<String, SecretRule>,
    ) -> Result<(), (String, String)> {
        if secrets.contains_key(&self.secret) {
            return Ok(());
        }
        Err(("bake".to_owned(), format!("there is no secret {:?} in [secrets]", self.secret)))
    }
}
