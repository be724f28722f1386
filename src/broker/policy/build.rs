//! A build (note 3.4): names in the project's repository, no secret among the arguments but by the
//! operator's word, the job's limits and network. What the Dockerfile says is judged on its way, see
//! [`super::super::build`].

use std::collections::BTreeMap;

use serde_json::json;

use super::{Case, Decision, Judged, flag, hosts, limits, pairs, post, visible};
use crate::broker::name::ImageName;
use crate::broker::outgoing::{Answer, Deed, Note, OutBody, Outgoing, Patience, Shape};
use crate::broker::refusal::Refusal;
use crate::broker::request::build::Build;

/// A build whose context is to be looked through.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildPlan {
    /// What goes to the daemon, but for `dockerfile`: that names the file which the broker writes.
    pub outgoing: Outgoing,
    /// Path of the job's Dockerfile in its context.
    pub dockerfile: String,
    /// Build arguments, which FROM may use.
    pub arguments: BTreeMap<String, Option<String>>,
    /// Whether base images are asked for at their registries though they are here.
    pub pull: bool,
    /// Images whose layers may be taken, besides those of the project and the job.
    pub cache_from: Vec<String>,
    /// `os/arch[/variant]`, for base images.
    pub platform: Option<String>,
}

pub(super) fn build(case: Case<'_>, build: &Build) -> Judged {
    let dockerfile = dockerfile(&build.dockerfile)?;
    let tags: Result<Vec<ImageName>, Refusal> =
        build.tags.iter().map(|tag| visible::target(case, tag)).collect();
    let tags = tags?;
    let told = secrets(case, build, &tags)?;
    let mut cache_from = Vec::new();
    for from in &build.cache_from {
        // One that is not here gives nothing, as at the daemon itself.
        cache_from.extend(visible::usable(case, from).ok());
    }
    let references: Vec<String> = tags.iter().map(ImageName::reference).collect();
    let mut query: Vec<_> = references.iter().map(|tag| ("t", tag.clone())).collect();
    query.extend(
        hosts::named(case, &build.extra_hosts)?.into_iter().map(|host| ("extrahosts", host)),
    );
    query.extend(self::query(case, build)?);
    let outgoing = Outgoing {
        query,
        body: OutBody::Archive,
        patience: Patience::Job,
        answer: Answer::Documents(Shape::Progress),
        notes: vec![Note::Images { references, deed: Some(Deed::Built) }],
        told,
        ..post("/build")
    };
    Ok(Decision::Build(Box::new(BuildPlan {
        outgoing,
        dockerfile,
        arguments: build.arguments.clone(),
        pull: build.pull,
        cache_from,
        platform: build.platform.clone(),
    })))
}

fn query(case: Case<'_>, build: &Build) -> Result<Vec<(&'static str, String)>, Refusal> {
    let network = match build.network.as_deref() {
        Some("none") => "none".to_owned(),
        None | Some("default" | "bridge") => job_network(case),
        Some("host") => {
            let message = "networkmode host is the host's own network; leave it out for the job's";
            return Err(Refusal::forbidden("network", message));
        }
        Some(other) if other.contains(':') => {
            let message = "networkmode is a network of the job's";
            return Err(Refusal::forbidden("network", message));
        }
        Some(other) => case.view.network(other)?,
    };
    let own = &case.view.limits;
    let memory = own.memory_bytes.map(limits::signed);
    let asked = Some(build.memory).filter(|bytes| *bytes > 0);
    let memory = asked.map_or(memory, |asked| Some(memory.map_or(asked, |own| own.min(asked))));
    let cpus = own.nano_cpus.map(|nano| (nano / 10_000).max(1000));
    let shm =
        Some(build.shm).filter(|bytes| *bytes > 0).map(|bytes| bytes.min(memory.unwrap_or(bytes)));
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    let labels = (!build.labels.is_empty()).then(|| json!(build.labels).to_string());
    let arguments = (!build.arguments.is_empty()).then(|| json!(build.arguments).to_string());
    Ok(pairs([
        ("q", flag(build.quiet)),
        ("nocache", flag(build.no_cache)),
        ("rm", Some("1".to_owned())),
        // Intermediate containers carry no label of the job's: none may stay behind.
        ("forcerm", Some("1".to_owned())),
        ("target", build.target.clone()),
        ("platform", build.platform.clone()),
        ("buildargs", arguments),
        ("labels", labels),
        ("networkmode", Some(network)),
        ("cgroupparent", own.cgroup_parent.clone()),
        ("memory", number(memory)),
        ("memswap", number(memory)),
        ("cpuperiod", cpus.map(|_| "100000".to_owned())),
        ("cpuquota", cpus.map(|quota| quota.to_string())),
        ("shmsize", number(shm)),
        ("version", Some("1".to_owned())),
    ]))
}

fn job_network(case: Case<'_>) -> String {
    if case.view.network == "host" { "bridge".to_owned() } else { case.view.network.clone() }
}

/// A path in the context.
fn dockerfile(path: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() || parts.contains(&"..") || path.len() > 1024 {
        let message = "dockerfile is a path in the build's context";
        return Err(Refusal::malformed("dockerfile", message));
    }
    Ok(parts.join("/"))
}

/// A build argument stands in the image's history, where everybody who can pull it reads it.
fn secrets(case: Case<'_>, build: &Build, tags: &[ImageName]) -> Result<Vec<String>, Refusal> {
    let mut told = Vec::new();
    for (argument, value) in &build.arguments {
        let Some(secret) = value.as_deref().and_then(|value| (case.view.secrets)(value)) else {
            continue;
        };
        let bakes = |tag: &ImageName| {
            let rules = &case.rules.bake;
            rules.iter().any(|(name, repository)| *name == secret && *repository == tag.repository)
        };
        if tags.is_empty() || !tags.iter().all(bakes) {
            return Err(Refusal::forbidden(
                "build-arg-secret",
                format!(
                    "a build argument holds the secret {secret}, which would stand in the image's \
                     history; the operator can allow it for one repository ([[bake]])"
                ),
            ));
        }
        let shown = crate::broker::request::printable(argument);
        let repository = &tags[0].repository;
        told.push(format!(
            "the secret {secret} goes into an image of {repository} (build argument {shown}): everybody \
             who can pull it can read it"
        ));
    }
    let mut texts = build.labels.values().chain(build.target.iter());
    match texts.find_map(|text| (case.view.secrets)(text)) {
        None => Ok(told),
        Some(secret) => Err(Refusal::forbidden(
            "build-arg-secret",
            format!("a label of the image holds the secret {secret}"),
        )),
    }
}
