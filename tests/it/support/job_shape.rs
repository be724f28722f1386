//! The JSON of a job as the runner re-encodes it into `JOB_RESPONSE_FILE`: field names and nesting, and
//! the plain records behind them.

use super::job_json::FakeJob;
use serde_json::{Value, json};

/// One job variable as GitLab sends it; `file` ones carry the content.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "GitLab's own shape")]
pub struct Variable {
    pub key: String,
    pub value: String,
    pub masked: bool,
    pub file: bool,
    pub raw: bool,
    pub public: bool,
}

/// What the job's ref is and where its sources are.
#[derive(Debug, Clone)]
pub struct Git {
    pub repo_url: String,
    pub sha: String,
    pub reference: String,
    pub is_tag: bool,
    pub protected: bool,
    pub depth: u32,
}

/// One `artifacts` entry; reports are entries with another `kind` and format.
#[derive(Debug, Clone)]
pub struct Artifact {
    pub name: String,
    pub paths: Vec<String>,
    pub exclude: Vec<String>,
    pub when: String,
    pub kind: String,
    pub format: String,
    pub untracked: bool,
    pub expire_in: String,
}

/// An earlier job whose artifacts this one downloads.
#[derive(Debug, Clone)]
pub struct Dependency {
    pub id: u64,
    pub token: String,
    pub name: String,
}

/// One `cache` entry.
#[derive(Debug, Clone)]
pub struct Cache {
    pub key: String,
    pub fallback_keys: Vec<String>,
    pub paths: Vec<String>,
    pub when: String,
    pub policy: String,
}

/// The whole job.
pub fn job_value(job: &FakeJob) -> Value {
    json!({
        "id": job.id, "token": job.token, "allow_git_fetch": true,
        "runner_info": {"timeout": job.timeout.as_secs(), "uuid": "runner-uuid"},
        "job_info": {
            "id": job.id, "name": job.name, "stage": job.stage, "pipeline_id": job.pipeline_id,
            "project_id": job.project_id, "project_name": job.project_name(),
            "project_full_path": job.project_path, "namespace_id": 5, "root_namespace_id": 5,
            "user_id": 3, "project_jobs_running_on_instance_runners_count": "0",
        },
        "git_info": {
            "repo_url": job.git.repo_url, "repo_object_format": "sha1", "ref": job.git.reference,
            "sha": job.git.sha, "before_sha": "0".repeat(40),
            "ref_type": if job.git.is_tag { "tag" } else { "branch" },
            "refspecs": [job.refspec()], "depth": job.git.depth, "protected": job.git.protected,
        },
        "variables": job.all_variables().iter().map(variable_json).collect::<Vec<_>>(),
        "steps": steps_json(job),
        "image": job.image.clone().unwrap_or_else(|| image_value("")),
        "services": job.services,
        "artifacts": job.artifacts.iter().map(artifact_json).collect::<Vec<_>>(),
        "cache": job.cache.iter().map(cache_json).collect::<Vec<_>>(),
        "credentials": job.credentials,
        "dependencies": job.dependencies.iter().map(dependency_json).collect::<Vec<_>>(),
        "features": {"trace_sections": true, "token_mask_prefixes": ["glcbt-"], "failure_reasons": []},
        "secrets": {}, "hooks": [], "run": "",
    })
}

fn steps_json(job: &FakeJob) -> Vec<Value> {
    let step = |name: &str, script: &[String], when: &str, allow_failure: bool| {
        json!({"name": name, "script": script, "timeout": job.timeout.as_secs(),
               "when": when, "allow_failure": allow_failure})
    };
    let mut steps = vec![step("script", &job.script, "on_success", false)];
    steps.extend(job.steps.iter().map(|(name, lines)| step(name, lines, "on_success", false)));
    if let Some(lines) = &job.after_script {
        steps.push(step("after_script", lines, "always", true));
    }
    steps
}

/// An `image` or `services` entry with every field the runner keeps.
pub fn image_value(name: &str) -> Value {
    json!({"name": name, "alias": "", "command": null, "entrypoint": null, "ports": [], "variables": [],
           "pull_policy": [], "executor_opts": {"docker": {"platform": "", "user": ""}, "kubernetes": {}}})
}

fn variable_json(variable: &Variable) -> Value {
    json!({"key": variable.key, "value": variable.value, "public": variable.public,
           "file": variable.file, "masked": variable.masked, "raw": variable.raw})
}

fn artifact_json(artifact: &Artifact) -> Value {
    json!({"name": artifact.name, "untracked": artifact.untracked, "paths": artifact.paths,
           "exclude": artifact.exclude, "when": artifact.when, "expire_in": artifact.expire_in,
           "artifact_type": artifact.kind, "artifact_format": artifact.format})
}

fn cache_json(cache: &Cache) -> Value {
    json!({"key": cache.key, "untracked": false, "policy": cache.policy, "paths": cache.paths,
           "when": cache.when, "fallback_keys": cache.fallback_keys})
}

fn dependency_json(dependency: &Dependency) -> Value {
    json!({"id": dependency.id, "token": dependency.token, "name": dependency.name,
           "artifacts_file": {"filename": "artifacts.zip", "size": 1}})
}
