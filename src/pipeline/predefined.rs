//! The variables that GitLab and GitLab Runner give to each job. Pure.
//!
//! Source: GitLab's predefined variables reference; order as GitLab sends them, so that a CI file may
//! override what comes before it and the caller's values override the file.

use super::model::{Job, Pipeline};
use super::spec::{JobSpec, JobVariable, PipelineFacts, repository_url};

/// A job while its variables are put together.
pub struct Naming<'a> {
    /// What all jobs share.
    pub facts: &'a PipelineFacts,
    /// The job.
    pub job: &'a Job,
    /// Its number.
    pub id: u64,
    /// Its token.
    pub token: &'a str,
}

/// All of GitLab's variables for a job: predefined, global, the job's, from dotenv reports, the caller's.
pub fn all(
    naming: &Naming<'_>,
    pipeline: &Pipeline,
    own: &[(String, String)],
    dotenv: &[(String, String)],
) -> Vec<JobVariable> {
    let mut all = registry(naming.facts);
    all.extend(of_job(naming));
    all.extend(of_project(naming.facts));
    all.extend(of_commit(naming.facts));
    all.extend(pipeline.variables.iter().map(|(key, variable)| JobVariable {
        raw: !variable.expand,
        ..JobVariable::expanding(key, &variable.value)
    }));
    all.extend(own.iter().map(|(key, value)| JobVariable::expanding(key, value)));
    all.extend(dotenv.iter().map(|(key, value)| JobVariable::raw(key, value)));
    all.extend(naming.facts.given.iter().cloned());
    all
}

/// The registry's come first: what is decided by them is decided by the first of a name, which no CI file
/// can override.
fn registry(facts: &PipelineFacts) -> Vec<JobVariable> {
    let mut all = Vec::new();
    let Some(registry) = facts.given("CI_REGISTRY") else { return all };
    let image = facts
        .given("CI_REGISTRY_IMAGE")
        .map_or_else(|| format!("{registry}/{}", facts.project.to_lowercase()), str::to_owned);
    all.push(JobVariable::raw("CI_REGISTRY", registry));
    all.push(JobVariable::raw("CI_REGISTRY_IMAGE", image));
    all.extend(
        facts.given("CI_REGISTRY_USER").map(|user| JobVariable::raw("CI_REGISTRY_USER", user)),
    );
    all.extend(
        facts
            .given("CI_REGISTRY_PASSWORD")
            .map(|password| JobVariable::raw("CI_REGISTRY_PASSWORD", password).masked()),
    );
    all
}

fn of_job(naming: &Naming<'_>) -> Vec<JobVariable> {
    let Naming { facts, job, id, token } = naming;
    let page = format!("{}/{}", facts.server_url, facts.project);
    vec![
        JobVariable::raw("CI", "true"),
        JobVariable::raw("GITLAB_CI", "true"),
        JobVariable::raw("CI_PIPELINE_ID", facts.pipeline_id.to_string()),
        JobVariable::raw("CI_PIPELINE_IID", facts.pipeline_iid.to_string()),
        JobVariable::raw("CI_PIPELINE_SOURCE", "push"),
        JobVariable::raw("CI_PIPELINE_URL", format!("{page}/-/pipelines/{}", facts.pipeline_id)),
        JobVariable::raw("CI_PIPELINE_CREATED_AT", &facts.created_at),
        JobVariable::raw("CI_JOB_ID", id.to_string()),
        JobVariable::raw("CI_JOB_URL", format!("{page}/-/jobs/{id}")),
        JobVariable::raw("CI_JOB_TOKEN", *token).masked(),
        JobVariable::raw("CI_JOB_NAME", &job.name),
        JobVariable::raw("CI_JOB_NAME_SLUG", slug(&job.name)),
        JobVariable::raw("CI_JOB_STAGE", &job.stage),
        JobVariable::raw("CI_JOB_MANUAL", "false"),
        JobVariable::raw("CI_NODE_TOTAL", "1"),
        JobVariable::raw("CI_REPOSITORY_URL", repository_url(facts, token)).masked(),
    ]
}

fn of_project(facts: &PipelineFacts) -> Vec<JobVariable> {
    let url = &facts.server_url;
    let (namespace, name) = facts.project.rsplit_once('/').unwrap_or(("", &facts.project));
    let host = url.trim_start_matches("http://");
    let (name_of_host, port) = host.rsplit_once(':').unwrap_or((host, "80"));
    vec![
        JobVariable::raw("CI_PROJECT_ID", facts.project_id.to_string()),
        JobVariable::raw("CI_PROJECT_NAME", name),
        JobVariable::raw("CI_PROJECT_TITLE", name),
        JobVariable::raw("CI_PROJECT_PATH", &facts.project),
        JobVariable::raw("CI_PROJECT_PATH_SLUG", slug(&facts.project)),
        JobVariable::raw("CI_PROJECT_NAMESPACE", namespace),
        JobVariable::raw(
            "CI_PROJECT_ROOT_NAMESPACE",
            namespace.split('/').next().unwrap_or_default(),
        ),
        JobVariable::raw("CI_PROJECT_URL", format!("{url}/{}", facts.project)),
        JobVariable::raw("CI_PROJECT_VISIBILITY", "private"),
        JobVariable::raw("CI_DEFAULT_BRANCH", &facts.source.default_branch),
        JobVariable::raw("CI_CONFIG_PATH", ".gitlab-ci.yml"),
        JobVariable::raw("CI_SERVER_URL", url),
        JobVariable::raw("CI_SERVER_HOST", name_of_host),
        JobVariable::raw("CI_SERVER_PORT", port),
        JobVariable::raw("CI_SERVER_PROTOCOL", "http"),
        JobVariable::raw("CI_SERVER_FQDN", host),
        JobVariable::raw("CI_SERVER_NAME", "Longshore"),
        JobVariable::raw("CI_API_V4_URL", format!("{url}/api/v4")),
        JobVariable::raw("GITLAB_USER_LOGIN", "local"),
        JobVariable::raw("GITLAB_USER_NAME", "local"),
    ]
}

fn of_commit(facts: &PipelineFacts) -> Vec<JobVariable> {
    let source = &facts.source;
    let description = source.message.split_once('\n').map_or("", |(_, rest)| rest.trim());
    vec![
        JobVariable::raw("CI_COMMIT_SHA", &source.sha),
        JobVariable::raw("CI_COMMIT_SHORT_SHA", source.sha.get(..8).unwrap_or_default()),
        JobVariable::raw("CI_COMMIT_BEFORE_SHA", &source.before_sha),
        JobVariable::raw("CI_COMMIT_REF_NAME", &source.reference),
        JobVariable::raw("CI_COMMIT_REF_SLUG", slug(&source.reference)),
        JobVariable::raw("CI_COMMIT_BRANCH", &source.reference),
        JobVariable::raw("CI_COMMIT_MESSAGE", &source.message),
        JobVariable::raw("CI_COMMIT_TITLE", source.title()),
        JobVariable::raw("CI_COMMIT_DESCRIPTION", description),
        JobVariable::raw("CI_COMMIT_AUTHOR", &source.author),
        JobVariable::raw("CI_COMMIT_TIMESTAMP", &source.timestamp),
        JobVariable::raw("CI_COMMIT_REF_PROTECTED", source.protected.to_string()),
    ]
}

/// Where a job is in its life, as far as its variables tell.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Empty until `config` has answered.
    pub builds_dir: String,
    /// Empty until `config` has answered.
    pub project_dir: String,
    /// `running`, then `success`, `failed` or `canceled`.
    pub status: &'static str,
}

/// The variables that only the runner knows. Job variables that come after them win.
pub fn of_runner(spec: &JobSpec, moment: &Moment, image: &str) -> Vec<JobVariable> {
    let mut all = vec![
        JobVariable::raw("CI_SERVER", "yes"),
        JobVariable::raw("CI_SHARED_ENVIRONMENT", "true"),
        JobVariable::raw("CI_RUNNER_ID", "0"),
        JobVariable::raw("CI_RUNNER_DESCRIPTION", "longshore local"),
        JobVariable::raw("CI_RUNNER_SHORT_TOKEN", "local"),
        JobVariable::raw("CI_RUNNER_TAGS", "[]"),
        JobVariable::raw("CI_RUNNER_VERSION", RUNNER_VERSION),
        JobVariable::raw("CI_RUNNER_REVISION", "longshore"),
        JobVariable::raw("CI_RUNNER_EXECUTABLE_ARCH", "linux/amd64"),
        JobVariable::raw("CI_CONCURRENT_ID", "0"),
        JobVariable::raw("CI_CONCURRENT_PROJECT_ID", "0"),
        JobVariable::raw("CI_JOB_TIMEOUT", spec.timeout.as_secs().to_string()),
        JobVariable::raw("CI_JOB_STATUS", moment.status),
        JobVariable::raw("CI_JOB_SERVICES", ""),
        JobVariable::raw("CI_BUILDS_DIR", &moment.builds_dir),
        JobVariable::raw("CI_PROJECT_DIR", &moment.project_dir),
        JobVariable::raw("RUNNER_TEMP_PROJECT_DIR", format!("{}.tmp", moment.project_dir)),
    ];
    if !image.is_empty() {
        all.push(JobVariable::raw("CI_JOB_IMAGE", image));
    }
    all
}

/// The GitLab Runner whose part is played.
const RUNNER_VERSION: &str = "19.4.0";

/// A name as it may stand in a host's name: lower case, at most 63 characters.
fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let dashed: String =
        lower.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '-' }).collect();
    let cut: String = dashed.chars().take(63).collect();
    cut.trim_matches('-').to_owned()
}
