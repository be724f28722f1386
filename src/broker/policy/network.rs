//! Networks and volumes (note 3.5), and a container's place on networks.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::create::labels;
use super::{Case, Judged, allow, check_name, delete, flag, get, json, pairs, post};
use crate::broker::outgoing::{Answer, Kind, Note, Outgoing, Shape};
use crate::broker::refusal::Refusal;
use crate::broker::request::container::ContainerCreate;
use crate::broker::request::network::{Connection, NetworkCreate, VolumeCreate, is_host_name};
use crate::broker::request::{NetworkAction, VolumeAction};

/// Where a new container stands.
pub(super) struct Attached {
    pub(super) mode: String,
    pub(super) endpoints: Option<Map<String, Value>>,
}

/// Networks that every daemon has: they know no names.
fn knows_names(network: &str) -> bool {
    !matches!(network, "bridge" | "host" | "none")
}

/// The job's network; one on the host's own network shares that with nobody.
fn own_network(case: Case<'_>) -> &str {
    if case.view.network == "host" { "bridge" } else { &case.view.network }
}

fn named(case: Case<'_>, given: &str) -> Result<String, Refusal> {
    let id = case.view.network(given)?;
    Ok(if id == case.view.network { own_network(case).to_owned() } else { id })
}

pub(super) fn of_container(
    case: Case<'_>,
    create: &ContainerCreate,
    name: Option<&str>,
) -> Result<Attached, Refusal> {
    let asked = create.host.network_mode.as_deref().unwrap_or("default");
    if asked == "host" {
        return Err(Refusal::forbidden(
            "network",
            "NetworkMode host is the host's own network; leave it out for the job's",
        ));
    }
    if asked == "none" {
        return Ok(Attached { mode: "none".to_owned(), endpoints: None });
    }
    if let Some(container) = asked.strip_prefix("container:") {
        let mode = format!("container:{}", case.view.container(container)?);
        return Ok(Attached { mode, endpoints: None });
    }
    let mode = named(case, asked)?;
    let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::from([(mode.clone(), Vec::new())]);
    for (network, endpoint) in &create.endpoints {
        aliases.entry(named(case, network)?).or_default().extend(endpoint.aliases.clone());
    }
    let own = name.filter(|name| is_host_name(name));
    let endpoints = aliases.into_iter().map(|(network, mut aliases)| {
        aliases.extend(own.map(str::to_owned));
        let known = knows_names(&network);
        (network, if known { json!({"Aliases": aliases}) } else { json!({}) })
    });
    let endpoints: Map<String, Value> = endpoints.collect();
    let said = knows_names(&mode) || endpoints.len() > 1;
    Ok(Attached { mode, endpoints: said.then_some(endpoints) })
}

pub(super) fn create(case: Case<'_>, create: &NetworkCreate) -> Judged {
    check_name(&create.name)?;
    let reserved = matches!(create.name.as_str(), "bridge" | "host" | "none" | "default");
    if reserved || create.name == case.view.network {
        return Err(Refusal::forbidden("network", "a network of that name is there already"));
    }
    let taken = case.view.all(Kind::Network).any(|(_, name)| name == create.name);
    if taken {
        let message = format!("network with name {} already exists", create.name);
        return Err(Refusal::forbidden("absent", message).with_status(409).untold());
    }
    let most = case.rules.quota.networks;
    if case.view.count(Kind::Network) >= most {
        let message = format!("a job has at most {most} networks (max_networks in [broker])");
        return Err(Refusal::quota("quota", message));
    }
    let mut options = Map::new();
    if let Some(mtu) = create.mtu {
        options.insert("com.docker.network.driver.mtu".to_owned(), json!(mtu.to_string()));
    }
    let body = json!({
        "Name": case.view.daemon_name(&create.name),
        "CheckDuplicate": true,
        "Driver": "bridge",
        "Internal": create.internal,
        "Attachable": create.attachable,
        "EnableIPv6": create.ipv6,
        "Options": options,
        "Labels": labels(case, &create.labels),
    });
    Ok(allow(Outgoing {
        body: json(&body),
        notes: vec![Note::Created { kind: Kind::Network, name: create.name.clone(), id: None }],
        ..post("/networks/create")
    }))
}

pub(super) fn act(case: Case<'_>, network: &str, action: &NetworkAction) -> Judged {
    let id = case.view.network(network)?;
    let own = case.view.owns(Kind::Network, &id);
    let outgoing = match action {
        NetworkAction::Inspect => get(format!("/networks/{id}"), Shape::Network),
        NetworkAction::Remove if own => remove(&id),
        NetworkAction::Remove => {
            let message = "the job's own network goes with the job";
            return Err(Refusal::forbidden("network", message));
        }
        NetworkAction::Connect(connection) => {
            let container = member(case, connection, own)?;
            let mut endpoint = Map::new();
            let name = case.view.all(Kind::Container).find(|(id, _)| *id == container);
            let name = name.map(|(_, name)| name.to_owned()).filter(|name| is_host_name(name));
            let aliases: Vec<String> =
                connection.endpoint.aliases.iter().cloned().chain(name).collect();
            if knows_names(&id) {
                endpoint.insert("Aliases".to_owned(), json!(aliases));
            }
            let body = json!({"Container": container, "EndpointConfig": endpoint});
            Outgoing { body: json(&body), ..post(format!("/networks/{id}/connect")) }
        }
        NetworkAction::Disconnect(connection) => {
            let container = member(case, connection, own)?;
            let body = json!({"Container": container, "Force": connection.force});
            Outgoing { body: json(&body), ..post(format!("/networks/{id}/disconnect")) }
        }
    };
    Ok(allow(outgoing))
}

/// The job's own container may be put on networks that the job made, and taken off them.
fn member(case: Case<'_>, connection: &Connection, own_network: bool) -> Result<String, Refusal> {
    let given = connection.container.as_str();
    if let Some((id, host_name)) = case.view.job_container.as_ref().filter(|_| own_network) {
        let short = given.len() >= 12 && id.starts_with(given);
        if given == host_name || short {
            return Ok(id.clone());
        }
    }
    case.view.container(given)
}

pub(super) fn remove(id: &str) -> Outgoing {
    Outgoing {
        notes: vec![Note::Removed { kind: Kind::Network, id: id.to_owned() }],
        ..delete(format!("/networks/{id}"))
    }
}

pub(super) fn create_volume(case: Case<'_>, create: &VolumeCreate) -> Judged {
    let given = create.name.as_deref().unwrap_or(&case.view.fresh);
    check_name(given)?;
    let known = case.view.volume(given).ok();
    let most = case.rules.quota.volumes;
    if known.is_none() && case.view.count(Kind::Volume) >= most {
        let message = format!("a job has at most {most} volumes (max_volumes in [broker])");
        return Err(Refusal::quota("quota", message));
    }
    let name = known.unwrap_or_else(|| case.view.daemon_name(given));
    let body = json!({"Name": name, "Driver": "local", "Labels": labels(case, &create.labels)});
    Ok(allow(Outgoing {
        body: json(&body),
        answer: Answer::Document(Shape::Volume),
        notes: vec![Note::Created { kind: Kind::Volume, name: given.to_owned(), id: Some(name) }],
        ..post("/volumes/create")
    }))
}

pub(super) fn act_volume(case: Case<'_>, volume: &str, action: VolumeAction) -> Judged {
    let found = case.view.volume(volume);
    Ok(allow(match action {
        VolumeAction::Inspect => get(format!("/volumes/{}", found?), Shape::Volume),
        VolumeAction::Remove { force } => {
            let name = match found {
                Ok(name) => name,
                // As the daemon has it: by force an absent one is fine.
                Err(_) if force => return Ok(super::list::empty(204)),
                Err(absent) => return Err(absent),
            };
            Outgoing { query: pairs([("force", flag(force))]), ..remove_volume(&name) }
        }
    }))
}

pub(super) fn remove_volume(name: &str) -> Outgoing {
    Outgoing {
        notes: vec![Note::Removed { kind: Kind::Volume, id: name.to_owned() }],
        ..delete(format!("/volumes/{name}"))
    }
}
