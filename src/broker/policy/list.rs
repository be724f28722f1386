//! Lists, events and prunes: of the job's own objects and nothing else. What a filter says of names and
//! ids is worked out here; the daemon is asked for ids.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Case, Decision, Judged, Prune, Reply, allow, container, flag, get, network, pairs};
use crate::broker::name::is_hex;
use crate::broker::outgoing::{Answer, Kind, Outgoing, Patience, Shape};
use crate::broker::refusal::Refusal;
use crate::broker::request::{ContainersQuery, Filters};

type Values = BTreeMap<&'static str, Vec<String>>;

/// Labels by which the daemon tells this job's objects that came through the broker.
fn own_labels(case: Case<'_>) -> Vec<String> {
    let label = |key: &str| {
        let value = case.view.labels.get(key).map(String::as_str).unwrap_or_default();
        format!("{key}={value}")
    };
    vec![label("longshore.job"), label("longshore.kind")]
}

fn unknown(key: &str) -> Refusal {
    let message = format!("the filter {key} is not offered here");
    Refusal::forbidden("filters", message)
}

/// Filters whose values say nothing of other objects.
fn passed(filters: &Filters, known: &[&'static str], own: &[&str]) -> Result<Values, Refusal> {
    let mut all = Values::new();
    for (key, values) in &filters.0 {
        match known.iter().find(|known| *known == key) {
            Some(known) => drop(all.insert(known, values.clone())),
            None if own.contains(&key.as_str()) => {}
            None => {
                return Err(unknown(if key.len() < 24 && key.is_ascii() {
                    key
                } else {
                    "of that name"
                }));
            }
        }
    }
    Ok(all)
}

/// Ids of the job's objects of a kind that a filter's names and ids match.
fn matching(case: Case<'_>, kind: Kind, filters: &Filters) -> Result<Vec<String>, Refusal> {
    let mut ids = Vec::new();
    for (id, name) in case.view.all(kind) {
        let mut fits = true;
        if let Some(patterns) = filters.0.get("name") {
            let matches: Result<Vec<bool>, Refusal> =
                patterns.iter().map(|pattern| name_matches(pattern, name)).collect();
            fits &= matches?.contains(&true);
        }
        if let Some(begins) = filters.0.get("id") {
            fits &= begins.iter().any(|begin| is_hex(begin) && id.starts_with(begin.as_str()));
        }
        if fits {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

/// The daemon reads a pattern as a regular expression; here it is a text with `^` before or `$` behind.
fn name_matches(pattern: &str, name: &str) -> Result<bool, Refusal> {
    let (begins, rest) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let (ends, rest) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
    let bare = rest.strip_prefix('/').unwrap_or(rest).replace("\\.", ".").replace("\\-", "-");
    let begins = begins || rest.starts_with('/');
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !bare.bytes().all(legal) {
        let message = "the filter name may be a text, with ^ before and $ behind it";
        return Err(Refusal::forbidden("filters", message));
    }
    Ok(match (begins, ends) {
        (true, true) => name == bare,
        (true, false) => name.starts_with(&bare),
        (false, true) => name.ends_with(&bare),
        (false, false) => name.contains(&bare),
    })
}

fn written(values: &Values) -> Option<String> {
    (!values.is_empty()).then(|| json!(values).to_string())
}

pub(super) fn empty(status: u16) -> Decision {
    Decision::Reply(Reply { status, ..Reply::default() })
}

const CONTAINER_FILTERS: [&str; 8] =
    ["label", "status", "exited", "health", "expose", "publish", "is-task", "until"];

pub(super) fn containers(case: Case<'_>, query: &ContainersQuery) -> Judged {
    let own = ["name", "id", "network", "volume", "before", "since", "ancestor"];
    let mut values = passed(&query.filters, &CONTAINER_FILTERS, &own)?;
    let ids = matching(case, Kind::Container, &query.filters)?;
    let nothing = || Ok(Decision::Reply(Reply::json(&json!([]))));
    for (key, asked) in &query.filters.0 {
        let resolved: Vec<String> = match key.as_str() {
            "network" => asked.iter().filter_map(|name| case.view.network(name).ok()).collect(),
            "volume" => asked.iter().filter_map(|name| case.view.volume(name).ok()).collect(),
            "before" | "since" => {
                asked.iter().filter_map(|name| case.view.container(name).ok()).collect()
            }
            "ancestor" => {
                asked.iter().filter_map(|name| super::visible::usable(case, name).ok()).collect()
            }
            _ => continue,
        };
        if resolved.is_empty() {
            return nothing();
        }
        let known = own.iter().find(|known| *known == key);
        values.extend(known.map(|known| (*known, resolved)));
    }
    if ids.is_empty() {
        return nothing();
    }
    values.insert("id", ids);
    values.entry("label").or_default().extend(own_labels(case));
    Ok(allow(Outgoing {
        query: pairs([
            ("all", flag(query.all)),
            ("limit", query.limit.map(|limit| limit.to_string())),
            ("size", flag(query.size)),
            ("filters", written(&values)),
        ]),
        ..get("/containers/json", Shape::Containers)
    }))
}

/// Of containers, by their labels: those of others and what was before this job have others.
pub(super) fn events(
    case: Case<'_>,
    (since, until): (Option<&String>, Option<&String>),
    filters: &Filters,
) -> Judged {
    let own = ["type", "container", "image", "network", "volume", "daemon", "scope"];
    let mut values = passed(filters, &["label", "event"], &own)?;
    for time in [since, until].into_iter().flatten() {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".:+-".contains(&byte);
        if time.len() > 64 || !time.bytes().all(legal) {
            return Err(Refusal::malformed("query", "since and until are times"));
        }
    }
    let asked = filters.0.get("container").into_iter().flatten();
    let containers: Vec<String> = asked.filter_map(|name| case.view.container(name).ok()).collect();
    if !containers.is_empty() {
        values.insert("container", containers);
    }
    values.entry("label").or_default().extend(own_labels(case));
    values.insert("type", vec!["container".to_owned()]);
    Ok(allow(Outgoing {
        query: pairs([
            ("since", since.cloned()),
            ("until", until.cloned()),
            ("filters", written(&values)),
        ]),
        patience: Patience::Job,
        answer: Answer::Documents(Shape::Event),
        ..get("/events", Shape::Event)
    }))
}

/// All that the daemon has, cut down to the job's own on its way back.
pub(super) fn images(case: Case<'_>, all: bool, filters: &Filters) -> Judged {
    let values =
        passed(filters, &["dangling", "label", "until"], &["reference", "before", "since"])?;
    if filters.0.contains_key("before") || filters.0.contains_key("since") {
        return Err(unknown("before"));
    }
    let _ = case;
    Ok(allow(Outgoing {
        query: pairs([("all", flag(all)), ("filters", written(&values))]),
        answer: Answer::Document(Shape::Images),
        ..get("/images/json", Shape::Images)
    }))
}

pub(super) fn networks(case: Case<'_>, filters: &Filters) -> Judged {
    let own = ["name", "id", "driver", "scope", "type", "dangling"];
    let mut values = passed(filters, &["label"], &own)?;
    let mut ids = matching(case, Kind::Network, filters)?;
    let labelled = filters.0.contains_key("label");
    let named = filters.0.get("name").is_none_or(|names| names.contains(&case.view.network));
    let by_id = filters
        .0
        .get("id")
        .is_none_or(|ids| ids.iter().any(|id| Some(id) == case.view.network_id.as_ref()));
    // The job's own network is there too, though nobody made it through the broker.
    ids.extend(case.view.network_id.clone().filter(|_| named && by_id && !labelled));
    if ids.is_empty() {
        return Ok(Decision::Reply(Reply::json(&json!([]))));
    }
    values.insert("id", ids);
    Ok(allow(Outgoing {
        query: pairs([("filters", written(&values))]),
        ..get("/networks", Shape::Networks)
    }))
}

pub(super) fn volumes(case: Case<'_>, filters: &Filters) -> Judged {
    let mut values = passed(filters, &["label", "dangling"], &["name", "driver"])?;
    for pattern in filters.0.get("name").into_iter().flatten() {
        name_matches(pattern, "")?;
    }
    let ids = matching(case, Kind::Volume, filters)?;
    if ids.is_empty() {
        return Ok(Decision::Reply(Reply::json(&json!({"Volumes": [], "Warnings": null}))));
    }
    values.entry("label").or_default().extend(own_labels(case));
    // By the beginning: volumes have no ids.
    values.insert("name", ids);
    Ok(allow(Outgoing {
        query: pairs([("filters", written(&values))]),
        ..get("/volumes", Shape::Volumes)
    }))
}

fn check_prune(filters: &Filters) -> Result<(), Refusal> {
    passed(filters, &["all", "dangling"], &[]).map(drop)
}

fn prune(case: Case<'_>, kind: Kind, outgoing: impl Fn(&str) -> Outgoing) -> Decision {
    let each = case.view.all(kind).map(|(id, name)| {
        let shown = if kind == Kind::Container { id } else { name };
        (shown.to_owned(), outgoing(id))
    });
    Decision::Prune(Prune { kind, each: each.collect() })
}

/// Without force, so that the daemon itself keeps what runs.
pub(super) fn containers_prune(case: Case<'_>, filters: &Filters) -> Judged {
    check_prune(filters)?;
    Ok(prune(case, Kind::Container, |id| container::remove(id, false, false)))
}

pub(super) fn networks_prune(case: Case<'_>, filters: &Filters) -> Judged {
    check_prune(filters)?;
    Ok(prune(case, Kind::Network, network::remove))
}

pub(super) fn volumes_prune(case: Case<'_>, filters: &Filters) -> Judged {
    check_prune(filters)?;
    Ok(prune(case, Kind::Volume, network::remove_volume))
}

/// The answer to a prune of which these went.
pub fn pruned(kind: Kind, gone: &[String]) -> Reply {
    let key = match kind {
        Kind::Container => "ContainersDeleted",
        Kind::Network => "NetworksDeleted",
        Kind::Volume | Kind::Exec => "VolumesDeleted",
    };
    let mut body = json!({});
    body[key] = if gone.is_empty() { Value::Null } else { json!(gone) };
    if kind != Kind::Network {
        body["SpaceReclaimed"] = json!(0);
    }
    Reply::json(&body)
}

/// Images and build cache are kept within bounds by the host itself.
pub(super) fn nothing_pruned(key: &str) -> Decision {
    let mut body = json!({"SpaceReclaimed": 0});
    body[key] = Value::Null;
    Decision::Reply(Reply::json(&body))
}
