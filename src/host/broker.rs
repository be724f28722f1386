//! `longshore broker`: shows the rules of the brokered Docker socket, and what they make of a request. Asks
//! no daemon.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::broker::outgoing::{Kind, OutBody, Outgoing};
use crate::broker::policy::{self, Decision};
use crate::broker::request::endpoint::ENDPOINTS;
use crate::broker::request::{BodyKind, Head, Method, Request, route};
use crate::broker::view::{Daemon, JobView, Own, Workspace};
use crate::cli::broker::{BrokerCommand, ExplainArgs, PolicyArgs};
use crate::job::JobContext;
use crate::outcome::Outcome;
use crate::plan::BrokerPlan;
use crate::plan::container::{LimitPlan, ResolverPlan};
use crate::settings::{Settings, SocketMode};
use crate::stage::error::CallError;
use crate::world::Stdio;

use super::capacity;

/// The newest API that an explanation is given for; parts of volumes can be mounted with it.
const API_MINOR: u32 = 47;

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
            let (allowed, text) = explain(settings, &args)?;
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

/// A request in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    method: String,
    target: String,
    content_type: Option<String>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    own: OwnWritten,
    #[serde(default, rename = "client")]
    _client: Option<String>,
    #[serde(default)]
    stream: bool,
}

/// What the job has already, by name.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OwnWritten {
    containers: Vec<String>,
    networks: Vec<String>,
    volumes: Vec<String>,
    images: Vec<String>,
}

fn read(path: &Path) -> Result<Written, CallError> {
    let place = path.display();
    let text = std::fs::read(path)
        .map_err(|error| CallError::job(format!("failed to read the request {place}: {error}")))?;
    serde_json::from_slice(&text).map_err(|error| {
        CallError::job(format!(
            "{place} is no request: {error}\n  write {{\"method\": \"GET\", \"target\": \"/version\"}}"
        ))
    })
}

/// Whether it is allowed, and the words for it.
fn explain(settings: &Settings, args: &ExplainArgs) -> Result<(bool, String), CallError> {
    let written = read(&args.request)?;
    let (_, rules) = in_force(settings, &args.policy)?;
    let method = Method::read(&written.method)
        .ok_or_else(|| CallError::job("the method is GET, HEAD, POST, PUT or DELETE"))?;
    let body = match &written.body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let mut head = Head {
        method,
        target: written.target.clone(),
        content_type: written.content_type.clone(),
        has_body: written.stream || !body.is_empty(),
    };
    let is_json = matches!(route(&head), Ok(BodyKind::Json));
    if head.content_type.is_none() && head.has_body && is_json {
        head.content_type = Some("application/json".to_owned());
    }
    let view = view(&written.own);
    let decision = Request::read(&head, body.as_bytes())
        .map_or_else(Decision::Refuse, |request| policy::decide(&request, &view, &rules));
    Ok(told(&decision))
}

fn told(decision: &Decision) -> (bool, String) {
    match decision {
        Decision::Refuse(refusal) => (
            false,
            format!("refused with {} [{}]: {}\n", refusal.status, refusal.rule, refusal.message),
        ),
        Decision::Reply(reply) => (
            true,
            format!(
                "answered by the broker with {}: {}\n",
                reply.status,
                String::from_utf8_lossy(&reply.body)
            ),
        ),
        Decision::Prune(prune) => {
            let each = prune.each.iter().map(|(_, outgoing)| line(outgoing));
            (true, format!("allowed; these go to the daemon:\n{}", each.collect::<String>()))
        }
        Decision::Build(plan) => (
            true,
            format!(
                "allowed, if the Dockerfile ({}) is; this goes to the daemon:\n{}",
                plan.dockerfile,
                line(&plan.outgoing)
            ),
        ),
        Decision::Allow(outgoing) => {
            (true, format!("allowed; this goes to the daemon:\n{}", line(outgoing)))
        }
    }
}

fn line(outgoing: &Outgoing) -> String {
    let query = outgoing.query.iter().map(|(key, value)| format!("\n  {key} = {value}"));
    let links = outgoing.links.iter().map(|link| format!("\n  link {} -> {}", link.at, link.to));
    let told = outgoing.told.iter().map(|line| format!("\n  told: {line}"));
    let mut text = format!("{} {}", outgoing.method.as_str(), outgoing.path);
    text.extend(query.chain(links).chain(told));
    if let OutBody::Json(bytes) = &outgoing.body {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        text.extend(["\n".to_owned(), format!("{value:#}")]);
    }
    text.push('\n');
    text
}

/// A job that has made these things.
fn view(own: &OwnWritten) -> JobView {
    let key = "0-00000000".to_owned();
    let mut view = JobView {
        labels: [
            ("longshore.job".to_owned(), key.clone()),
            ("longshore.kind".to_owned(), "brokered".to_owned()),
        ]
        .into(),
        limits: LimitPlan::default(),
        resolver: ResolverPlan::default(),
        security: Vec::new(),
        runtime: None,
        network: "longshore-slot-0".to_owned(),
        network_id: None,
        gateway: Some("172.18.0.1".to_owned()),
        job_container: None,
        workspace: Workspace {
            volume: format!("longshore-{key}-builds"),
            mounted_at: "/builds".to_owned(),
            project_dir: "/builds/group/project".to_owned(),
        },
        daemon: Daemon {
            api_minor: API_MINOR,
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
        },
        secrets: Arc::new(|_| None),
        own: Own::default(),
        fresh: "unnamed".to_owned(),
        key,
    };
    let kinds = [(Kind::Container, &own.containers), (Kind::Network, &own.networks)];
    for (kind, names) in kinds {
        for (number, name) in names.iter().enumerate() {
            view.adopt(kind, &format!("{:064x}", number + 1), name);
        }
    }
    for name in &own.volumes {
        view.adopt(Kind::Volume, &view.daemon_name(name), name);
    }
    for (number, image) in own.images.iter().enumerate() {
        let name = crate::broker::name::ImageName::read(image);
        let reference = name.map_or_else(|| image.clone(), |name| name.or_latest().reference());
        view.record_image(&reference, &format!("sha256:{:064x}", number + 1));
    }
    view
}

#[cfg(test)]
mod tests;
