//! What GitLab told us about a job, parsed and typed. Pure: it reads no file, no environment, no clock.

use std::collections::BTreeMap;

use crate::secrets::Secret;

pub mod expand;
mod response;
mod stage;

pub use response::{
    Credential, DockerOptions, GitInfo, JobImage, JobInfo, JobResponse, JobVariable,
};
pub use stage::Stage;

/// Everything one call knows about its job: the trusted JSON and the job's own variables.
///
/// Decisions (project, protected ref, image, credentials) read `response` only; `variables` feed what
/// the job may choose for itself, because job authors can override every `CUSTOM_ENV_*`.
#[derive(Clone)]
pub struct JobContext {
    /// `JOB_RESPONSE_FILE`.
    pub response: JobResponse,
    /// `CUSTOM_ENV_*` with the prefix taken off, expanded by the runner.
    pub variables: BTreeMap<String, String>,
}

/// The job is not told as it must be. Never the job author's fault: the runner writes these files.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The JSON is cut short or not JSON.
    #[error("the job JSON cannot be read ({source}); is this GitLab Runner 17.9 or newer?")]
    Syntax {
        /// Where and why; serde quotes no values of wrong *syntax*.
        source: serde_json::Error,
    },
    /// The JSON lacks something or has it in another shape.
    #[error(
        "the job JSON has another shape than GitLab Runner's ({what}); is this GitLab Runner 17.9 or newer?"
    )]
    Shape {
        /// Which field, as far as it can be said without quoting a value.
        what: String,
    },
    /// The runner gave no job variables.
    #[error(
        "no CUSTOM_ENV_ variable is set: this command is called by GitLab Runner's custom executor (see config.toml.example)"
    )]
    NoVariables,
}

impl JobContext {
    /// Puts together what the runner handed down.
    ///
    /// # Errors
    /// When the JSON is not a job's, or there are no variables.
    pub fn new(variables: BTreeMap<String, String>, json: &[u8]) -> Result<Self, JobError> {
        if variables.is_empty() {
            return Err(JobError::NoVariables);
        }
        let response = serde_json::from_slice(json).map_err(|source| match source.classify() {
            serde_json::error::Category::Data => JobError::Shape { what: field_only(&source) },
            _ => JobError::Syntax { source },
        })?;
        Ok(Self { response, variables })
    }

    /// A variable as the job sees it. Not for decisions: the job's author can set it.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Expands a text of the JSON as the runner would, with the variables the job sees.
    pub fn expand(&self, text: &str) -> String {
        expand::expand(text, |name| self.variable(name).map(str::to_owned))
    }

    /// A variable as GitLab set it: the first of its name in the JSON, which no author can override.
    pub fn trusted_variable(&self, name: &str) -> Option<&str> {
        self.response.variables.iter().find(|one| one.key == name).map(|one| one.value.as_str())
    }

    /// Values of the variables that GitLab marked as masked, as the job sees them.
    pub fn masked_values(&self) -> Vec<Secret> {
        self.response
            .variables
            .iter()
            .filter(|one| one.masked && !one.value.is_empty())
            .map(|one| Secret::new(self.variable(&one.key).unwrap_or(&one.value)))
            .collect()
    }

    /// Whether the job runs for a protected ref.
    pub fn is_protected(&self) -> bool {
        self.response.git_info.protected == Some(true)
    }
}

/// serde's message about wrong data quotes the offending value, which may be a token: only what kind of
/// thing was found and what was expected, or which field is missing, is passed on.
fn field_only(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!("line {} column {}", error.line(), error.column());
    if text.starts_with("missing field") {
        return text.split(" at line").next().unwrap_or_default().to_owned();
    }
    let expected = text.rsplit_once("expected ").map_or("", |(_, expected)| expected);
    let expected = expected.split(" at line").next().unwrap_or_default();
    format!("expected {expected} at {place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        BTreeMap::from([("CI_JOB_ID".to_owned(), "7".to_owned())])
    }

    const MINIMAL: &str = r#"{"id": 7, "unknown": 1,
        "job_info": {"name": "unit", "stage": "test", "project_id": 3, "project_full_path": "g/p"},
        "git_info": {"repo_url": "https://h/g/p.git", "ref": "main", "sha": "abc"},
        "variables": [{"key": "A", "value": "first"}, {"key": "A", "value": "second", "masked": true}],
        "services": null, "artifacts": null}"#;

    #[test]
    fn the_first_of_two_variables_is_the_trusted_one() {
        let context = JobContext::new(variables(), MINIMAL.as_bytes()).unwrap();
        assert_eq!(context.trusted_variable("A"), Some("first"));
        assert!(!context.is_protected());
    }

    #[test]
    fn a_truncated_json_is_an_error_that_quotes_nothing() {
        let cut = &MINIMAL.as_bytes()[..MINIMAL.len() / 2];
        let error = JobContext::new(variables(), cut).err().unwrap().to_string();
        assert!(error.starts_with("the job JSON cannot be read"), "{error}");
    }

    #[test]
    fn a_wrong_shape_names_the_place_and_not_the_value() {
        let wrong = r#"{"id": "glpat-secret"}"#;
        let error = JobContext::new(variables(), wrong.as_bytes()).err().unwrap().to_string();
        assert!(error.contains("expected u64"), "{error}");
        assert!(!error.contains("glpat"), "{error}");
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = JobContext::new(variables(), br#"{"id": 7}"#).err().unwrap().to_string();
        assert!(error.contains("missing field `job_info`"), "{error}");
    }

    #[test]
    fn no_variables_means_no_runner() {
        let error = JobContext::new(BTreeMap::new(), MINIMAL.as_bytes()).err().unwrap();
        assert!(matches!(error, JobError::NoVariables));
    }
}
