//! The job's JSON, as GitLab Runner re-encodes it into `JOB_RESPONSE_FILE`. Pure.

use serde_json::{Value, json};

use crate::plan::cache::LOCAL;

use super::model::{Artifacts, ArtifactsWhen, Cache, CachePolicy, Image, Service};
use super::spec::{Dependency, JobSpec, JobVariable, PipelineFacts};

/// The whole JSON; `image` is the image's expanded name.
pub fn response(spec: &JobSpec, facts: &PipelineFacts, image: &str) -> Value {
    let services: Vec<Value> = spec.job.services.iter().map(service).collect();
    json!({
        "id": spec.id,
        "token": spec.token,
        "allow_git_fetch": true,
        "runner_info": {"timeout": spec.timeout.as_secs(), "uuid": LOCAL},
        "job_info": {
            "id": spec.id, "name": spec.job.name, "stage": spec.job.stage,
            "pipeline_id": facts.pipeline_id, "project_id": facts.project_id,
            "project_name": facts.project_name(), "project_full_path": facts.project,
        },
        "git_info": git_info(spec, facts),
        "variables": spec.variables.iter().map(variable).collect::<Vec<_>>(),
        "steps": steps(spec),
        "image": job_image(spec.job.image.as_ref(), image),
        "services": services,
        "artifacts": spec.job.artifacts.as_ref().map(artifacts).unwrap_or_default(),
        "cache": spec.job.caches.iter().map(cache).collect::<Vec<_>>(),
        "credentials": credentials(facts),
        "dependencies": spec.dependencies.iter().map(|one| dependency(one, spec)).collect::<Vec<_>>(),
        "features": {"trace_sections": true, "token_mask_prefixes": [], "failure_reasons": []},
        "secrets": {},
        "hooks": [],
    })
}

fn git_info(spec: &JobSpec, facts: &PipelineFacts) -> Value {
    let source = &facts.source;
    let format = if source.sha.len() == 64 { "sha256" } else { "sha1" };
    json!({
        "repo_url": spec.repository_url(facts), "repo_object_format": format,
        "ref": source.reference, "sha": source.sha, "before_sha": source.before_sha,
        "ref_type": "branch", "protected": source.protected, "depth": 20,
        "refspecs": [format!("+{}:refs/pipelines/{}", source.sha, facts.pipeline_id)],
    })
}

fn variable(one: &JobVariable) -> Value {
    json!({"key": one.key, "value": one.value, "public": !one.masked, "file": false,
           "masked": one.masked, "raw": one.raw})
}

fn steps(spec: &JobSpec) -> Vec<Value> {
    let step = |name: &str, script: Vec<&String>, when: &str| {
        json!({"name": name, "script": script, "timeout": spec.timeout.as_secs(), "when": when,
               "allow_failure": name == "after_script"})
    };
    let script = spec.job.before_script.iter().chain(&spec.job.script).collect();
    let mut steps = vec![step("script", script, "on_success")];
    if !spec.job.after_script.is_empty() {
        steps.push(step("after_script", spec.job.after_script.iter().collect(), "always"));
    }
    steps
}

fn job_image(image: Option<&Image>, name: &str) -> Value {
    let (entrypoint, pull_policy) = image
        .map(|image| (image.entrypoint.as_slice(), image.pull_policy.as_slice()))
        .unwrap_or_default();
    json!({"name": name, "alias": "", "command": null, "entrypoint": entrypoint, "ports": [],
           "variables": [], "pull_policy": pull_policy,
           "executor_opts": {"docker": {"platform": "", "user": ""}, "kubernetes": {}}})
}

/// Name and alias are left to the driver to expand, which a runner would have done.
fn service(service: &Service) -> Value {
    let variable = |(key, value): &(String, String)| json!({"key": key, "value": value, "public": true, "file": false, "masked": false, "raw": false});
    let Service { name, alias, entrypoint, command, pull_policy, platform, user, .. } = service;
    json!({"name": name, "alias": alias, "command": command, "entrypoint": entrypoint, "ports": [],
           "variables": service.variables.iter().map(variable).collect::<Vec<_>>(),
           "pull_policy": pull_policy,
           "executor_opts": {"docker": {"platform": platform, "user": user}, "kubernetes": {}}})
}

/// GitLab sends the archive and each report as one entry; reports are sent in any case.
fn artifacts(artifacts: &Artifacts) -> Vec<Value> {
    let mut all = Vec::new();
    if has_archive(artifacts) {
        all.push(json!({
            "name": artifacts.name, "untracked": artifacts.untracked, "paths": artifacts.paths,
            "exclude": artifacts.exclude, "when": when_name(artifacts.when),
            "expire_in": artifacts.expire_in, "artifact_type": "archive", "artifact_format": "zip",
        }));
    }
    all.extend(artifacts.reports.iter().map(|(kind, paths)| {
        json!({
            "name": report_name(kind), "untracked": false, "paths": paths, "when": "always",
            "expire_in": artifacts.expire_in, "artifact_type": kind, "artifact_format": "gzip",
        })
    }));
    all
}

fn cache(cache: &Cache) -> Value {
    json!({"key": cache.key, "fallback_keys": cache.fallback_keys, "untracked": cache.untracked,
    "paths": cache.paths, "when": when_name(cache.when),
    "policy": match cache.policy {
        CachePolicy::PullPush => "pull-push",
        CachePolicy::Pull => "pull",
        CachePolicy::Push => "push",
    }})
}

/// Whether there is more to keep than reports.
pub(super) fn has_archive(artifacts: &Artifacts) -> bool {
    artifacts.untracked || !artifacts.paths.is_empty()
}

/// The name under which GitLab keeps a report.
pub(super) fn report_name(kind: &str) -> String {
    match kind {
        "dotenv" => ".env".to_owned(),
        "junit" => "junit.xml".to_owned(),
        other => format!("{other}.json"),
    }
}

fn when_name(when: ArtifactsWhen) -> &'static str {
    match when {
        ArtifactsWhen::OnSuccess => "on_success",
        ArtifactsWhen::OnFailure => "on_failure",
        ArtifactsWhen::Always => "always",
    }
}

fn credentials(facts: &PipelineFacts) -> Vec<Value> {
    let (Some(url), Some(password)) =
        (facts.given("CI_REGISTRY"), facts.given("CI_REGISTRY_PASSWORD"))
    else {
        return Vec::new();
    };
    let user = facts.given("CI_REGISTRY_USER").unwrap_or("gitlab-ci-token");
    vec![json!({"type": "registry", "url": url, "username": user, "password": password})]
}

fn dependency(one: &Dependency, spec: &JobSpec) -> Value {
    json!({"id": one.id, "token": spec.token, "name": one.name,
           "artifacts_file": {"filename": "artifacts.zip", "size": one.size}})
}
