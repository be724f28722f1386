//! One job with everything that is known before it starts: what GitLab would send to a runner. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::job::expand;
use crate::secrets::Secret;

use super::model::{AllowFailure, Job};
use super::source::Source;

/// One of a job's variables, as GitLab sends it.
#[derive(Clone)]
pub struct JobVariable {
    /// Name.
    pub key: String,
    /// Text, not expanded.
    pub value: String,
    /// Whether the log must not show it.
    pub masked: bool,
    /// Whether `$` in it is only a dollar sign.
    pub raw: bool,
}

impl JobVariable {
    /// A text that is taken as it is.
    pub fn raw(key: &str, value: impl Into<String>) -> Self {
        Self { key: key.to_owned(), value: value.into(), masked: false, raw: true }
    }

    /// A text in which `$NAME` stands for another variable.
    pub fn expanding(key: &str, value: impl Into<String>) -> Self {
        Self { raw: false, ..Self::raw(key, value) }
    }

    /// The same, hidden in the log.
    #[must_use]
    pub fn masked(self) -> Self {
        Self { masked: true, ..self }
    }
}

/// An earlier job whose archive this one gets.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Bytes of the archive.
    pub size: u64,
}

/// What all jobs of a pipeline share.
#[derive(Clone)]
pub struct PipelineFacts {
    /// The commit.
    pub source: Source,
    /// `group/name`.
    pub project: String,
    /// The project's number.
    pub project_id: u64,
    /// The pipeline's number among all.
    pub pipeline_id: u64,
    /// The pipeline's number in the project.
    pub pipeline_iid: u64,
    /// Where sources and artifacts are served, `http://HOST:PORT`.
    pub server_url: String,
    /// When the pipeline was made, ISO 8601.
    pub created_at: String,
    /// What the caller gave, as in GitLab's project settings.
    pub given: Vec<JobVariable>,
}

impl PipelineFacts {
    /// What the caller gave under this name.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|one| one.key == name).map(|one| one.value.as_str())
    }

    /// The project's own name, without its group.
    pub fn project_name(&self) -> &str {
        self.project.rsplit('/').next().unwrap_or_default()
    }
}

/// The job that a runner would be handed.
#[derive(Clone)]
pub struct JobSpec {
    /// What the CI file says.
    pub job: Job,
    /// Its number.
    pub id: u64,
    /// The token that opens sources and artifacts to it.
    pub token: String,
    /// GitLab's variables, in GitLab's order: a later one wins.
    pub variables: Vec<JobVariable>,
    /// Jobs whose archives it gets.
    pub dependencies: Vec<Dependency>,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether it may fail, with its rules.
    pub allow_failure: AllowFailure,
}

impl JobSpec {
    /// The values that the log must not show, as scripts see them.
    pub fn masked(&self) -> Vec<Secret> {
        let hidden = |name: &str| self.variables.iter().any(|one| one.masked && one.key == name);
        let seen = expanded(&self.variables).into_iter();
        seen.filter(|(key, value)| hidden(key) && !value.is_empty())
            .map(|(_, value)| Secret::new(value))
            .collect()
    }

    /// The URL that sources are fetched from; carries the token.
    pub fn repository_url(&self, facts: &PipelineFacts) -> String {
        repository_url(facts, &self.token)
    }
}

/// The URL that sources are fetched from with this token.
pub(super) fn repository_url(facts: &PipelineFacts, token: &str) -> String {
    let host = facts.server_url.trim_start_matches("http://");
    format!("http://gitlab-ci-token:{token}@{host}/{}.git", facts.project)
}

/// How deep one variable may lie in another before it counts as a loop.
const DEPTH: usize = 10;

/// Every variable once (the last of a name wins) with its expanded text, in the order of first mention.
pub fn expanded(variables: &[JobVariable]) -> Vec<(String, String)> {
    let mut last: BTreeMap<&str, &JobVariable> = BTreeMap::new();
    let mut order = Vec::new();
    for variable in variables {
        if last.insert(&variable.key, variable).is_none() {
            order.push(variable.key.as_str());
        }
    }
    let text = |name: &str| (name.to_owned(), value(&last, name, DEPTH).unwrap_or_default());
    order.into_iter().map(text).collect()
}

/// GitLab expands variables in variables before it hands a job out, the runner once more.
fn value(all: &BTreeMap<&str, &JobVariable>, name: &str, depth: usize) -> Option<String> {
    let variable = all.get(name)?;
    if variable.raw || depth == 0 {
        return Some(variable.value.clone());
    }
    // A name that mentions itself (PATH: "$PATH:/x") means nothing of its own.
    let inner = |other: &str| if other == name { None } else { value(all, other, depth - 1) };
    Some(expand::expand(&variable.value, inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_wins_and_raw_ones_stay() {
        let all = expanded(&[
            JobVariable::raw("A", "1"),
            JobVariable::expanding("B", "$A-$C"),
            JobVariable::expanding("C", "<$A>"),
            JobVariable::raw("D", "$A"),
            JobVariable::raw("A", "2"),
            JobVariable::expanding("LOOP", "x$LOOP$POOL"),
            JobVariable::expanding("POOL", "$LOOP"),
        ]);
        let value = |name: &str| all.iter().find(|(key, _)| key == name).unwrap().1.as_str();
        assert_eq!(all.iter().filter(|(key, _)| key == "A").count(), 1);
        assert_eq!((value("A"), value("B"), value("D")), ("2", "2-<2>", "$A"));
        assert!(value("LOOP").starts_with('x'));
    }
}
