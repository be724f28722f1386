//! Stand-in for the reader of the CI file until that one is merged: takes JSON of the model's shape.

use serde_json::Value;

use super::model::{AllowFailure, Artifacts, ArtifactsWhen, Image, Job, Pipeline, Variable, When};

fn words(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let map = value.as_object().cloned().unwrap_or_default();
    map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
}

/// A file that is no pipeline.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PipelineError(pub String);

/// Reads a file.
///
/// # Errors
/// When it is no pipeline.
pub fn parse(text: &str, _file: &str) -> Result<Pipeline, PipelineError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| PipelineError(error.to_string()))?;
    let variables = pairs(&value["variables"]).into_iter();
    let variable = |value| Variable { value, description: None, expand: true };
    let names = value.as_object().cloned().unwrap_or_default();
    let jobs = names.iter().filter(|(name, _)| !matches!(name.as_str(), "stages" | "variables"));
    Ok(Pipeline {
        stages: words(&value["stages"]),
        variables: variables.map(|(key, value)| (key, variable(value))).collect(),
        jobs: jobs.map(|(name, one)| job(name, one)).collect(),
    })
}

fn job(name: &str, one: &Value) -> Job {
    let codes = one["allow_failure"]["exit_codes"].as_array().cloned().unwrap_or_default();
    let codes: Vec<i32> =
        codes.iter().filter_map(|code| i32::try_from(code.as_i64()?).ok()).collect();
    Job {
        name: name.to_owned(),
        line: 1,
        stage: one["stage"].as_str().unwrap_or("test").to_owned(),
        image: one["image"].as_str().map(|name| Image {
            name: name.to_owned(),
            entrypoint: Vec::new(),
            pull_policy: Vec::new(),
        }),
        variables: pairs(&one["variables"]),
        before_script: words(&one["before_script"]),
        script: words(&one["script"]),
        after_script: words(&one["after_script"]),
        artifacts: one["artifacts"].is_object().then(|| artifacts(&one["artifacts"])),
        dependencies: one["dependencies"].is_array().then(|| words(&one["dependencies"])),
        rules: None,
        when: match one["when"].as_str() {
            Some("on_failure") => When::OnFailure,
            Some("always") => When::Always,
            Some("manual") => When::Manual,
            _ => When::OnSuccess,
        },
        allow_failure: match &one["allow_failure"] {
            Value::Bool(true) => AllowFailure::Yes,
            Value::Object(_) => AllowFailure::ExitCodes(codes),
            _ => AllowFailure::No,
        },
        timeout: one["timeout"].as_str().and_then(|text| humantime::parse_duration(text).ok()),
    }
}

fn artifacts(one: &Value) -> Artifacts {
    let reports = one["reports"].as_object().cloned().unwrap_or_default();
    let report = |(kind, path): (String, Value)| {
        (kind, path.as_str().map(str::to_owned).into_iter().collect())
    };
    Artifacts {
        paths: words(&one["paths"]),
        exclude: words(&one["exclude"]),
        when: match one["when"].as_str() {
            Some("always") => ArtifactsWhen::Always,
            Some("on_failure") => ArtifactsWhen::OnFailure,
            _ => ArtifactsWhen::OnSuccess,
        },
        reports: reports.into_iter().map(report).collect(),
        ..Artifacts::default()
    }
}
