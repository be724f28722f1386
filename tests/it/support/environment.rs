//! The variables a driver sees: GitLab's predefined ones, the runner's own, expanded once and prefixed
//! with `CUSTOM_ENV_`. Pure: a job and a moment in its life go in, pairs come out.

use super::job_json::{FakeJob, Variable};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// Where the job is: what the runner knows by now about directories and status.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Empty until `config` answered.
    pub builds_dir: String,
    pub project_dir: String,
    pub cache_dir: String,
    /// `running`, later `success`, `failed` or `canceled`.
    pub status: String,
    /// `CI_RUNNER_VERSION`.
    pub runner_version: String,
}

impl Moment {
    /// `<project>.tmp`, where file variables go; `.tmp` while there is no project directory.
    pub fn temporary_dir(&self) -> String {
        format!("{}.tmp", self.project_dir)
    }
}

fn plain(key: &str, value: impl Into<String>) -> Variable {
    Variable {
        key: key.into(),
        value: value.into(),
        masked: false,
        file: false,
        raw: true,
        public: true,
    }
}

/// The variables GitLab itself sends with each job.
pub fn predefined(job: &FakeJob) -> Vec<Variable> {
    let secret = |key: &str, value: &str| Variable { masked: true, ..plain(key, value) };
    let namespace = job.project_path.rsplit_once('/').map_or("", |(namespace, _)| namespace);
    let slug = job.git.reference.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let registry = job.registry_image.split('/').next().unwrap_or_default();
    let mut all = vec![
        plain("CI", "true"),
        plain("GITLAB_CI", "true"),
        plain("CI_JOB_ID", job.id.to_string()),
        plain("CI_JOB_URL", format!("{}/{}/-/jobs/{}", job.server_url, job.project_path, job.id)),
        secret("CI_JOB_TOKEN", &job.token),
        plain("CI_JOB_NAME", &job.name),
        plain("CI_JOB_STAGE", &job.stage),
        plain("CI_PIPELINE_ID", job.pipeline_id.to_string()),
        plain("CI_PIPELINE_IID", "1"),
        plain("CI_PROJECT_ID", job.project_id.to_string()),
        plain("CI_PROJECT_NAME", job.project_name()),
        plain("CI_PROJECT_PATH", &job.project_path),
        plain("CI_PROJECT_NAMESPACE", namespace),
        plain("CI_PROJECT_URL", format!("{}/{}", job.server_url, job.project_path)),
        plain("CI_COMMIT_SHA", &job.git.sha),
        plain("CI_COMMIT_SHORT_SHA", job.git.sha.get(..8).unwrap_or_default()),
        plain("CI_COMMIT_REF_NAME", &job.git.reference),
        plain("CI_COMMIT_REF_SLUG", slug),
        plain("CI_COMMIT_REF_PROTECTED", job.git.protected.to_string()),
        plain("CI_DEFAULT_BRANCH", "main"),
        plain("CI_SERVER_URL", &job.server_url),
        plain("CI_API_V4_URL", format!("{}/api/v4", job.server_url)),
        plain("CI_REPOSITORY_URL", &job.git.repo_url),
        plain("CI_REGISTRY", registry),
        plain("CI_REGISTRY_IMAGE", &job.registry_image),
        plain("CI_REGISTRY_USER", "gitlab-ci-token"),
        secret("CI_REGISTRY_PASSWORD", &job.token),
        plain("GITLAB_USER_LOGIN", "pusher"),
    ];
    let name = if job.git.is_tag { "CI_COMMIT_TAG" } else { "CI_COMMIT_BRANCH" };
    all.push(plain(name, &job.git.reference));
    all
}

/// The variables only the runner knows; they are in the environment but not in the JSON.
pub fn runner_made(job: &FakeJob, moment: &Moment) -> Vec<Variable> {
    let mut all = vec![
        plain("CI_SERVER", "yes"),
        plain("CI_SHARED_ENVIRONMENT", "true"),
        plain("CI_RUNNER_ID", "17"),
        plain("CI_RUNNER_SHORT_TOKEN", "t0k3n8chr"),
        plain("CI_RUNNER_VERSION", &moment.runner_version),
        plain("CI_RUNNER_REVISION", "00000000"),
        plain("CI_RUNNER_EXECUTABLE_ARCH", "linux/amd64"),
        plain("CI_CONCURRENT_ID", "0"),
        plain("CI_CONCURRENT_PROJECT_ID", "0"),
        plain("CI_JOB_TIMEOUT", job.timeout.as_secs().to_string()),
        plain("CI_JOB_STATUS", &moment.status),
        plain("CI_BUILDS_DIR", &moment.builds_dir),
        plain("CI_PROJECT_DIR", &moment.project_dir),
        plain("RUNNER_TEMP_PROJECT_DIR", moment.temporary_dir()),
        plain("CI_JOB_SERVICES", services(job)),
        plain("FF_USE_FASTZIP", "true"),
        plain("FF_NETWORK_PER_BUILD", "false"),
        plain("FF_TIMESTAMPS", "true"),
    ];
    if let Some(name) = job.image.as_ref().and_then(|image| image["name"].as_str()) {
        all.push(Variable { raw: false, ..plain("CI_JOB_IMAGE", name) });
    }
    all
}

/// `CI_JOB_SERVICES`: first alias only, and empty when there are none.
fn services(job: &FakeJob) -> String {
    if job.services.is_empty() {
        return String::new();
    }
    let first = |alias: &serde_json::Value| {
        let alias = alias.as_str().unwrap_or_default();
        alias.split([',', ' ']).next().unwrap_or_default().to_owned()
    };
    let list: Vec<_> = job
        .services
        .iter()
        .map(|service| {
            serde_json::json!({"name": service["name"], "alias": first(&service["alias"]),
                "entrypoint": service["entrypoint"], "command": service["command"]})
        })
        .collect();
    serde_json::to_string(&list).expect("a JSON list renders")
}

/// All variables at a moment, each key once (the last wins), expanded once; file variables keep their content.
pub fn variables(job: &FakeJob, moment: &Moment) -> Vec<Variable> {
    let mut by_key: Vec<Variable> = Vec::new();
    // The runner's own come first but cannot be lost: what a job sets for itself wins by coming later.
    for variable in runner_made(job, moment).into_iter().chain(job.all_variables()) {
        match by_key.iter_mut().find(|known| known.key == variable.key) {
            Some(known) => *known = variable,
            None => by_key.push(variable),
        }
    }
    let seen: BTreeMap<String, String> = by_key
        .iter()
        .map(|v| {
            let path = || format!("{}/{}", moment.temporary_dir(), v.key);
            (v.key.clone(), if v.file { path() } else { v.value.clone() })
        })
        .collect();
    for variable in by_key.iter_mut().filter(|v| !v.raw && !v.file) {
        variable.value = expand(&variable.value, &seen);
    }
    by_key
}

/// `CUSTOM_ENV_*` pairs at a moment.
pub fn custom_env(job: &FakeJob, moment: &Moment) -> Vec<(OsString, OsString)> {
    variables(job, moment)
        .into_iter()
        .map(|v| (format!("CUSTOM_ENV_{}", v.key).into(), v.value.into()))
        .collect()
}

/// Expands `$NAME` and `${NAME}` once; unknown names become empty, `$$` stays a dollar.
pub fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, after) = name_at(rest);
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(known.get(name).map_or("", String::as_str));
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn name_at(text: &str) -> (&str, &str) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some((name, after)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (name, after);
    }
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    text.split_at(end)
}
