//! Stand-in for the reader of the CI file.

use super::model::{Artifacts, Image, Job, Pipeline, PipelineError, Variable};

fn words(value: &serde_json::Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn pairs(value: &serde_json::Value) -> Vec<(String, String)> {
    let map = value.as_object().cloned().unwrap_or_default();
    map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
}

/// Reads a file.
///
/// # Errors
/// When it is no pipeline.
pub fn parse(text: &str, _file: &str) -> Result<Pipeline, PipelineError> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| PipelineError(error.to_string()))?;
    let jobs = value["jobs"].as_array().cloned().unwrap_or_default();
    let job = |one: &serde_json::Value| Job {
        name: one["name"].as_str().unwrap_or_default().to_owned(),
        stage: one["stage"].as_str().unwrap_or("test").to_owned(),
        image: one["image"]
            .as_str()
            .map(|name| Image { name: name.to_owned(), ..Image::default() }),
        variables: pairs(&one["variables"]),
        script: words(&one["script"]),
        after_script: words(&one["after_script"]),
        artifacts: one["artifacts"].as_object().map(|_| Artifacts {
            paths: words(&one["artifacts"]["paths"]),
            reports: one["artifacts"]["dotenv"]
                .as_str()
                .map(|file| ("dotenv".to_owned(), vec![file.to_owned()]))
                .into_iter()
                .collect(),
            ..Artifacts::default()
        }),
        ..Job::default()
    };
    let variables = pairs(&value["variables"]).into_iter();
    Ok(Pipeline {
        stages: words(&value["stages"]),
        variables: variables.map(|(k, value)| (k, Variable { value, expand: true })).collect(),
        jobs: jobs.iter().map(job).collect(),
    })
}
