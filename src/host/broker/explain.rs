//! What becomes of one request that stands in a file, in words. Asks no daemon.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::broker::outgoing::{Kind, OutBody, Outgoing};
use crate::broker::policy::{self, Decision};
use crate::broker::request::{BodyKind, Head, Method, Request, route};
use crate::broker::view::{Daemon, JobView, Own, Workspace};
use crate::cli::broker::ExplainArgs;
use crate::plan::container::{LimitPlan, ResolverPlan};
use crate::settings::Settings;
use crate::stage::error::CallError;

use super::in_force;

/// The newest API that an explanation is given for; parts of volumes can be mounted with it.
const API_MINOR: u32 = 47;

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
pub(super) fn explain(
    settings: &Settings,
    args: &ExplainArgs,
) -> Result<(bool, String), CallError> {
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
            view.adopt(kind, &format!("{:064x}", number + 1), &view.daemon_name(name));
        }
    }
    for name in &own.volumes {
        let name = view.daemon_name(name);
        view.adopt(Kind::Volume, &name, &name);
    }
    for (number, image) in own.images.iter().enumerate() {
        let name = crate::broker::name::ImageName::read(image);
        let reference = name.map_or_else(|| image.clone(), |name| name.or_latest().reference());
        view.record_image(&reference, &format!("sha256:{:064x}", number + 1));
    }
    view
}
