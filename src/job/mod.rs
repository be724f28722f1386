//! What GitLab told us about a job, parsed and typed. Pure: it reads no file, no environment, no clock.

use std::collections::BTreeMap;

use crate::secrets::Secret;

pub mod expand;
mod response;
mod stage;
mod version;

pub use response::{
    Credential, Dependency, DockerOptions, GitInfo, JobImage, JobInfo, JobResponse, JobVariable,
};
pub use stage::Stage;
pub use version::RunnerVersion;

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
    /// The JSON ends too early.
    #[error(
        "the job JSON is cut off after {bytes} bytes: is the file system of the runner's TMPDIR full?"
    )]
    Truncated {
        /// How many bytes there were.
        bytes: usize,
    },
    /// It is no JSON.
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
    /// The JSON does not tell whose job it is, so no rule of the settings could hold for it.
    #[error(
        "the job JSON names no project (job_info.project_full_path, CI_PROJECT_PATH); is this GitLab 13 or newer?"
    )]
    NoProject,
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
            serde_json::error::Category::Eof => JobError::Truncated { bytes: json.len() },
            _ => JobError::Syntax { source },
        })?;
        let mut context = Self { response, variables };
        context.complete()?;
        Ok(context)
    }

    /// Fills in what older GitLab servers tell by a variable alone.
    fn complete(&mut self) -> Result<(), JobError> {
        if self.response.job_info.project_full_path.is_empty() {
            let path = self.trusted_variable("CI_PROJECT_PATH").unwrap_or_default().to_owned();
            self.response.job_info.project_full_path = path;
        }
        if self.response.git_info.protected.is_none() {
            let told = self.trusted_variable("CI_COMMIT_REF_PROTECTED") == Some("true");
            self.response.git_info.protected = Some(told);
        }
        if self.response.job_info.project_full_path.is_empty() {
            return Err(JobError::NoProject);
        }
        Ok(())
    }

    /// A variable as the job sees it. Not for decisions: the job's author can set it.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Expands a text of the JSON as the runner would, with the variables the job sees. A file variable
    /// becomes its path, as in the runner: the variables hold its content.
    pub fn expand(&self, text: &str) -> String {
        self.expand_with(text, |_name| None)
    }

    /// The same, but what `first` knows counts before the job's variables.
    pub fn expand_with(&self, text: &str, first: impl Fn(&str) -> Option<String>) -> String {
        expand::expand(text, |name| Some(first(name).unwrap_or_else(|| self.value_in_text(name))))
    }

    /// A variable as GitLab set it: the first of its name in the JSON, which no author can override.
    pub fn trusted_variable(&self, name: &str) -> Option<&str> {
        self.response.variables.iter().find(|one| one.key == name).map(|one| one.value.as_str())
    }

    /// A variable as the runner set it, which is in no JSON; `None` also where the job sets one of its name:
    /// the job's comes later, and wins.
    pub fn runner_variable(&self, name: &str) -> Option<&str> {
        let is_the_jobs = self.response.variables.iter().any(|one| one.key == name);
        if is_the_jobs { None } else { self.variable(name) }
    }

    /// What stands in a text for a variable's name.
    fn value_in_text(&self, name: &str) -> String {
        let listed = self.response.variables.iter().rev().find(|one| one.key == name);
        match (listed, self.variable("RUNNER_TEMP_PROJECT_DIR")) {
            (Some(one), None) if one.file => String::new(),
            (Some(one), Some(directory)) if one.file => format!("{directory}/{name}"),
            _ => self.variable(name).unwrap_or_default().to_owned(),
        }
    }

    /// What must not be seen in any log: variables that GitLab marked as masked, as written and as the
    /// job sees them, GitLab's own resolved `secrets:`, tokens and registry passwords.
    pub fn masked_values(&self) -> Vec<Secret> {
        let job = &self.response;
        let masked = job.variables.iter().filter(|one| one.masked);
        let resolved = job.secrets.keys().filter_map(|name| self.variable(name));
        let texts = masked
            .flat_map(|one| [Some(one.value.as_str()), self.variable(&one.key)])
            .flatten()
            .chain(resolved)
            .map(Secret::new);
        let mut all: Vec<Secret> = Vec::new();
        for secret in texts.chain(self.tokens()) {
            if !secret.expose().is_empty() && !all.contains(&secret) {
                all.push(secret);
            }
        }
        all
    }

    fn tokens(&self) -> impl Iterator<Item = Secret> {
        let job = &self.response;
        let passwords = job.credentials.iter().map(|one| one.password.clone());
        let dependencies = job.dependencies.iter().map(|one| one.token.clone());
        passwords.chain(dependencies).chain([job.token.clone()])
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
    fn what_the_job_sets_is_not_the_runners() {
        let mut variables = variables();
        variables.extend(["A", "B"].map(|name| (name.to_owned(), "seen".to_owned())));
        let context = JobContext::new(variables, MINIMAL.as_bytes()).unwrap();
        let seen =
            ["A", "B", "C"].map(|name| (context.variable(name), context.runner_variable(name)));
        assert_eq!(seen, [(Some("seen"), None), (Some("seen"), Some("seen")), (None, None)]);
    }

    #[test]
    fn a_truncated_json_is_an_error_that_quotes_nothing() {
        let cut = &MINIMAL.as_bytes()[..MINIMAL.len() / 2];
        let error = JobContext::new(variables(), cut).err().unwrap().to_string();
        assert!(error.starts_with("the job JSON is cut off after"), "{error}");
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
    fn what_older_servers_leave_out_is_taken_from_the_first_variable() {
        let json = r#"{"id": 7, "job_info": {"name": "n", "stage": "s", "project_id": 3},
            "git_info": {"repo_url": "u", "ref": "main", "sha": "abc", "protected": null},
            "variables": [{"key": "CI_PROJECT_PATH", "value": "g/p"},
                {"key": "CI_COMMIT_REF_PROTECTED", "value": "true"},
                {"key": "CI_PROJECT_PATH", "value": "victim/p"},
                {"key": "CI_COMMIT_REF_PROTECTED", "value": "false"}]}"#;
        let context = JobContext::new(variables(), json.as_bytes()).unwrap();
        assert_eq!(context.response.job_info.project_full_path, "g/p");
        assert!(context.is_protected());
        let nobody = json.replace("CI_PROJECT_PATH", "OTHER");
        let error = JobContext::new(variables(), nobody.as_bytes()).err().unwrap();
        assert!(matches!(error, JobError::NoProject));
    }

    #[test]
    fn everything_secret_in_a_job_is_masked() {
        let json = r#"{"id": 7, "token": "job-token",
            "job_info": {"name": "n", "stage": "s", "project_id": 3, "project_full_path": "g/p"},
            "git_info": {"repo_url": "u", "ref": "main", "sha": "abc"},
            "variables": [{"key": "M", "value": "$A", "masked": true}, {"key": "E", "value": "", "masked": true},
                {"key": "PLAIN", "value": "plain"}],
            "credentials": [{"type": "registry", "url": "r", "username": "u", "password": "registry-password"}],
            "dependencies": [{"id": 1, "name": "d", "token": "other-token"}],
            "secrets": {"VAULTED": {"vault": {"path": "x"}}}}"#;
        let variables = [("M", "expanded"), ("VAULTED", "resolved"), ("PLAIN", "plain")];
        let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let context = JobContext::new(BTreeMap::from(variables), json.as_bytes()).unwrap();
        let masks = context.masked_values();
        let mut shown: Vec<_> =
            masks.iter().map(|one| String::from_utf8_lossy(one.expose())).collect();
        shown.sort();
        let expected =
            ["$A", "expanded", "job-token", "other-token", "registry-password", "resolved"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_file_variable_expands_to_its_path() {
        let json = MINIMAL.replace(
            r#"{"key": "A", "value": "first"}"#,
            r#"{"key": "F", "value": "x", "file": true}"#,
        );
        let variables =
            [("F", "content"), ("RUNNER_TEMP_PROJECT_DIR", "/builds/g/p.tmp"), ("A", "a")];
        let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let context = JobContext::new(BTreeMap::from(variables), json.as_bytes()).unwrap();
        assert_eq!(context.expand("$F and ${A}"), "/builds/g/p.tmp/F and a");
    }

    #[test]
    fn no_variables_means_no_runner() {
        let error = JobContext::new(BTreeMap::new(), MINIMAL.as_bytes()).err().unwrap();
        assert!(matches!(error, JobError::NoVariables));
    }
}
