//! `JOB_RESPONSE_FILE`: the job's JSON as GitLab Runner re-encodes it, typed. Unknown fields are fine
//! (GitLab adds some with each release), wrong shapes are not.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::secrets::Secret;

/// The job as GitLab sent it; only the fields that we act upon.
#[derive(Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct JobResponse {
    /// GitLab's job id.
    pub id: u64,
    /// The job token.
    #[serde(default = "nothing", deserialize_with = "secret")]
    pub token: Secret,
    /// Project, pipeline, stage.
    pub job_info: JobInfo,
    /// Ref and commit.
    pub git_info: GitInfo,
    /// The runner's limits for the job.
    #[serde(default, deserialize_with = "or_default")]
    pub runner_info: RunnerInfo,
    /// Variables that GitLab knows, in order; a name may come twice.
    #[serde(default, deserialize_with = "or_default")]
    pub variables: Vec<JobVariable>,
    /// The job's image; its name is expanded.
    #[serde(default, deserialize_with = "or_default")]
    pub image: JobImage,
    /// Services.
    #[serde(default, deserialize_with = "or_default")]
    pub services: Vec<JobImage>,
    /// What is uploaded at the end.
    #[serde(default, deserialize_with = "or_default")]
    pub artifacts: Vec<serde_json::Value>,
    /// Caches.
    #[serde(default, deserialize_with = "or_default")]
    pub cache: Vec<serde_json::Value>,
    /// Jobs whose artifacts are downloaded.
    #[serde(default, deserialize_with = "or_default")]
    pub dependencies: Vec<Dependency>,
    /// GitLab's native steps: a list, or a list in a string; empty where the job has a script.
    #[serde(default, deserialize_with = "or_default")]
    pub run: serde_json::Value,
    /// Registry credentials.
    #[serde(default, deserialize_with = "or_default")]
    pub credentials: Vec<Credential>,
    /// Names of GitLab's own `secrets:`, which the runner has resolved into variables.
    #[serde(default, deserialize_with = "or_default")]
    pub secrets: BTreeMap<String, serde_json::Value>,
}

impl JobResponse {
    /// Whether the job is made of `run:` steps.
    pub fn has_native_steps(&self) -> bool {
        match &self.run {
            serde_json::Value::String(text) => !matches!(text.trim(), "" | "null" | "[]"),
            serde_json::Value::Array(steps) => !steps.is_empty(),
            _ => false,
        }
    }
}

/// GitLab writes `null` for an empty list.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Where the job belongs.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct JobInfo {
    /// The job's name in the CI file.
    pub name: String,
    /// Its stage in the CI file.
    pub stage: String,
    /// The project's number.
    pub project_id: u64,
    /// `group/subgroup/project`; older GitLab sends none.
    #[serde(default, deserialize_with = "or_default")]
    pub project_full_path: String,
    /// The pipeline's number.
    #[serde(default, deserialize_with = "or_default")]
    pub pipeline_id: u64,
}

/// What is built.
#[derive(Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct GitInfo {
    /// Where it is fetched from; carries the job token.
    pub repo_url: String,
    /// Branch or tag.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Full commit SHA.
    pub sha: String,
    /// Whether the ref is protected; `None` where GitLab did not say.
    #[serde(default)]
    pub protected: Option<bool>,
}

/// The runner's limits for the job.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RunnerInfo {
    /// Seconds the job may take; 0 where not told.
    #[serde(default, deserialize_with = "or_default")]
    pub timeout: u64,
    /// The runner's own name for itself.
    #[serde(default, deserialize_with = "or_default")]
    pub uuid: String,
}

/// One variable.
#[derive(Clone, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the shape of GitLab's JSON")]
pub struct JobVariable {
    /// Its name.
    pub key: String,
    /// Its value, not expanded.
    #[serde(default, deserialize_with = "or_default")]
    pub value: String,
    /// Whether GitLab masks it in the log.
    #[serde(default, deserialize_with = "or_default")]
    pub masked: bool,
    /// Whether scripts see a path to a file that holds the value.
    #[serde(default, deserialize_with = "or_default")]
    pub file: bool,
    /// Whether GitLab lets it be seen, and so be given to services.
    #[serde(default, deserialize_with = "or_default")]
    pub public: bool,
    /// Whether its value is never expanded.
    #[serde(default, deserialize_with = "or_default")]
    pub raw: bool,
}

/// A job whose artifacts are downloaded.
#[derive(Clone, Deserialize)]
pub struct Dependency {
    /// The token that fetches them.
    #[serde(default = "nothing", deserialize_with = "secret")]
    pub token: Secret,
    /// The archive; without a name where that job left none.
    #[serde(default, deserialize_with = "or_default")]
    pub artifacts_file: ArtifactsFile,
}

/// An archive of artifacts.
#[derive(Clone, Default, Deserialize)]
pub struct ArtifactsFile {
    /// Its name; empty where there is none.
    #[serde(default, deserialize_with = "or_default")]
    pub filename: String,
}

/// An image as a job or service names it.
#[derive(Clone, Default, Deserialize)]
pub struct JobImage {
    /// Reference, expanded; empty where the job names none.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Further names of a service, separated by commas or blanks, expanded.
    #[serde(default, deserialize_with = "or_default")]
    pub alias: String,
    /// Replaces a service's command, not expanded.
    #[serde(default, deserialize_with = "or_default")]
    pub command: Vec<String>,
    /// A service's own variables, not expanded.
    #[serde(default, deserialize_with = "or_default")]
    pub variables: Vec<JobVariable>,
    /// Replaces the image's entrypoint, not expanded.
    #[serde(default, deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    /// Pull policies, tried in order.
    #[serde(default, deserialize_with = "or_default")]
    pub pull_policy: Vec<String>,
    /// Options of the executor.
    #[serde(default, deserialize_with = "or_default")]
    pub executor_opts: ExecutorOptions,
}

/// `image:` options of one executor.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ExecutorOptions {
    /// `image:docker:`
    #[serde(default, deserialize_with = "or_default")]
    pub docker: DockerOptions,
}

/// `image:docker:`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct DockerOptions {
    /// `os/arch[/variant]`, not expanded.
    #[serde(default, deserialize_with = "or_default")]
    pub platform: String,
    /// User, not expanded.
    #[serde(default, deserialize_with = "or_default")]
    pub user: String,
}

/// One login.
#[derive(Clone, Deserialize)]
pub struct Credential {
    /// `registry` for the kind we use.
    #[serde(rename = "type")]
    pub kind: String,
    /// Host and port.
    pub url: String,
    /// User name.
    pub username: String,
    /// Password.
    #[serde(deserialize_with = "secret")]
    pub password: Secret,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| Secret::new(text.unwrap_or_default()))
}

fn nothing() -> Secret {
    Secret::new("")
}
