//! `longshore broker`: shows the rules of the brokered Docker socket, and what they make of a request. Asks
//! no daemon.

mod explain;

use std::io::Write;

use serde_json::json;

use crate::broker::request::endpoint::ENDPOINTS;
use crate::cli::broker::{BrokerCommand, PolicyArgs};
use crate::job::JobContext;
use crate::outcome::Outcome;
use crate::plan::BrokerPlan;
use crate::settings::{Settings, SocketMode};
use crate::stage::error::CallError;
use crate::world::Stdio;

use super::capacity;

/// Runs one of the commands.
///
/// # Errors
/// A request that cannot be read, or a closed stream.
pub fn command(
    command: BrokerCommand,
    settings: &Settings,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    match command {
        BrokerCommand::Policy(args) => {
            let text = show(settings, &args)?;
            stdio.stdout.write_all(text.as_bytes()).map_err(CallError::system)?;
            Ok(Outcome::Success)
        }
        BrokerCommand::Explain(args) => {
            let (allowed, text) = explain::explain(settings, &args)?;
            stdio.stdout.write_all(text.as_bytes()).map_err(CallError::system)?;
            Ok(if allowed { Outcome::Success } else { Outcome::JobFault })
        }
    }
}

/// The settings and rules for a job of the project, as if GitLab had sent one.
fn in_force(settings: &Settings, args: &PolicyArgs) -> Result<(Settings, BrokerPlan), CallError> {
    let mut variables = Vec::new();
    if let Some(image) = &args.registry_image {
        variables.push(json!({"key": "CI_REGISTRY_IMAGE", "value": image}));
    }
    let job = json!({
        "id": 0,
        "job_info": {"name": "job", "stage": args.stage, "project_id": 0,
            "project_full_path": args.project},
        "git_info": {"repo_url": "", "ref": "", "sha": "<commit>", "protected": args.protected},
        "variables": variables,
    });
    let environment = [("CI_JOB_ID".to_owned(), "0".to_owned())].into();
    let context =
        JobContext::new(environment, job.to_string().as_bytes()).map_err(CallError::system)?;
    let capacity = capacity::read().map_err(CallError::system)?;
    let settings = settings.for_job(&args.project, args.protected, capacity);
    let rules = BrokerPlan::of(&context, &settings);
    Ok((settings, rules))
}

fn show(settings: &Settings, args: &PolicyArgs) -> Result<String, CallError> {
    let (settings, rules) = in_force(settings, args)?;
    if args.json {
        let text = serde_json::to_string_pretty(&rules).map_err(CallError::system)?;
        return Ok(format!("{text}\n"));
    }
    let list = |all: &[String]| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    let socket = match settings.docker.docker_socket {
        SocketMode::Brokered => "brokered: what stands here holds",
        SocketMode::Off => {
            "off: jobs of this project have no Docker socket; set \"brokered\" for this"
        }
        SocketMode::Raw => {
            "raw: jobs of this project are root on this host; set \"brokered\" for this"
        }
    };
    let bake = rules.bake.iter().map(|(secret, repository)| format!("{secret} in {repository}"));
    let bake: Vec<String> = bake.collect();
    let quota = rules.quota;
    let unknown = "unknown (repository in [broker]); nothing can be pushed";
    let mut text = format!(
        "jobs of {} in stage {}{}\n\n\
         docker_socket       {socket}\n\
         own repository      {}\n\
         pull, run, build    {}\n\
         without asking      {}\n\
         push tags           {}\n\
         secrets in images   {}\n\
         published ports     {}\n\
         at once             {} containers, {} networks, {} volumes; {} exec instances a stage\n\
         largest upload      {} MiB\n\nrequests\n",
        args.project,
        args.stage,
        if args.protected { ", protected ref" } else { "" },
        rules.repository.as_deref().unwrap_or(unknown),
        list(rules.allowed_images.written()),
        list(rules.shared_images.written()),
        list(rules.push_tags.written()),
        list(&bake),
        if rules.publish { "on the job's own network" } else { "none" },
        quota.containers,
        quota.networks,
        quota.volumes,
        quota.execs,
        quota.upload_bytes >> 20,
    );
    let lines = ENDPOINTS.iter();
    text.extend(lines.map(|one| format!("  {:6} {}\n", one.method.as_str(), one.path)));
    Ok(text)
}

#[cfg(test)]
mod tests;
