//! The top level of the file: stages, variables, defaults and the jobs among each other.

use super::{
    super::model::{Job, Pipeline, Variable},
    fault::{Fault, Read},
    job,
    keys::{self, TOP, entry},
    node::{Entry, Node, Value},
    value::Field,
};

const DEFAULT_STAGES: [&str; 3] = ["build", "test", "deploy"];
const FIRST: &str = ".pre";
const LAST: &str = ".post";

/// Reads the whole file.
pub(super) fn pipeline(root: &Node) -> Read<Pipeline> {
    let top = match &root.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null => &[],
        _ => return Field::new("the file", root).wrong("a mapping of jobs"),
    };
    let defaults = defaults(top)?;
    let declared = entry(top, "stages").map(|e| Field::from(e).texts()).transpose()?;
    let declared =
        declared.unwrap_or_else(|| DEFAULT_STAGES.into_iter().map(str::to_owned).collect());
    let jobs = jobs(top, &defaults)?;
    let stages = stages(declared, &jobs);
    check_stages(top, &jobs, &stages)?;
    check_dependencies(top, &jobs, &stages)?;
    Ok(Pipeline { stages, variables: variables(top)?, jobs })
}

/// `default:` with the top level's old way to write the same.
fn defaults(top: &[Entry]) -> Read<Vec<Entry>> {
    let mut all = match entry(top, "default") {
        Some(found) => keys::DEFAULT.entries(&found.node, "default")?.to_vec(),
        None => Vec::new(),
    };
    for key in ["image", "services", "before_script", "after_script", "cache"] {
        let Some(global) = entry(top, key) else { continue };
        if entry(&all, key).is_some() {
            return Err(Fault::DefaultTwice { key: key.to_owned() }.at(global.line));
        }
        all.push(global.clone());
    }
    job::check_defaults(&all)?;
    Ok(all)
}

fn jobs(top: &[Entry], defaults: &[Entry]) -> Read<Vec<Job>> {
    let mut jobs = Vec::new();
    for named in top {
        if TOP.known.contains(&named.key.as_str()) || named.key.starts_with('.') {
            continue;
        }
        check_is_job(named)?;
        jobs.push(job::job(named, defaults).map_err(|problem| problem.of(&named.key))?);
    }
    if jobs.is_empty() { Err(Fault::NoJobs.at(1)) } else { Ok(jobs) }
}

/// What is neither a key of the top level nor a job is a slip, most likely of the former.
fn check_is_job(named: &Entry) -> Read<()> {
    let key = named.key.clone();
    if TOP.unsupported.contains(&key.as_str()) {
        return Err(Fault::Unsupported { key }.at(named.line));
    }
    let near = TOP.nearest(&key).map(|near| format!("; did you mean {near:?}?"));
    match (&named.node.value, near) {
        (Value::Map(entries), _) if entry(entries, "script").is_some() => Ok(()),
        (Value::Map(_), None) => Ok(()),
        (_, hint) => {
            let hint = hint.unwrap_or_else(|| "; a job is a mapping with \"script\"".to_owned());
            Err(Fault::Unknown { key, hint }.at(named.line))
        }
    }
}

fn stages(declared: Vec<String>, jobs: &[Job]) -> Vec<String> {
    let used = |stage: &str| jobs.iter().any(|job| job.stage == stage).then(|| stage.to_owned());
    let middle = declared.into_iter().filter(|stage| stage != FIRST && stage != LAST);
    used(FIRST).into_iter().chain(middle).chain(used(LAST)).collect()
}

fn check_stages(top: &[Entry], jobs: &[Job], stages: &[String]) -> Read<()> {
    match jobs.iter().find(|job| !stages.contains(&job.stage)) {
        None => Ok(()),
        Some(job) => {
            let declared = stages.join(", ");
            let fault = Fault::Stage { stage: job.stage.clone(), declared };
            Err(fault.at(line_of(top, job, "stage")).of(&job.name))
        }
    }
}

fn check_dependencies(top: &[Entry], jobs: &[Job], stages: &[String]) -> Read<()> {
    let position = |stage: &str| stages.iter().position(|other| other == stage);
    for job in jobs {
        let earlier = |name: &&String| {
            jobs.iter().any(|j| j.name == **name && position(&j.stage) < position(&job.stage))
        };
        if let Some(name) = job.dependencies.iter().flatten().find(|name| !earlier(name)) {
            let fault = Fault::Dependency { name: name.clone() };
            return Err(fault.at(line_of(top, job, "dependencies")).of(&job.name));
        }
    }
    Ok(())
}

/// The line a job's key stands on, in an anchor maybe; the job's own where it has none.
fn line_of(top: &[Entry], job: &Job, key: &str) -> usize {
    match entry(top, &job.name).map(|named| &named.node.value) {
        Some(Value::Map(entries)) => entry(entries, key).map_or(job.line, |found| found.line),
        _ => job.line,
    }
}

fn variables(top: &[Entry]) -> Read<Vec<(String, Variable)>> {
    let Some(found) = entry(top, "variables") else { return Ok(Vec::new()) };
    let Value::Map(entries) = &found.node.value else {
        return Field::from(found).wrong("a mapping");
    };
    entries.iter().map(|named| Ok((named.key.clone(), variable(named)?))).collect()
}

fn variable(named: &Entry) -> Read<Variable> {
    let value = job::variable_value(named, &keys::PIPELINE_VARIABLE)?;
    let details = match &named.node.value {
        Value::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    let description = entry(details, "description").map(|e| Field::from(e).text()).transpose()?;
    let expand = entry(details, "expand").map(|e| Field::from(e).flag()).transpose()?;
    Ok(Variable { value, description, expand: expand.unwrap_or(true) })
}
