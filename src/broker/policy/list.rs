//! Lists and events: of the job's own objects and nothing else.

use serde_json::json;

use super::filter::{matching, name_matches, passed, unknown, written};
use super::{Case, Decision, Judged, Reply, allow, flag, get, pairs};
use crate::broker::outgoing::{Answer, Kind, Outgoing, Patience, Shape};
use crate::broker::refusal::Refusal;
use crate::broker::request::{ContainersQuery, Filters};

/// Labels by which the daemon tells this job's objects that came through the broker.
fn own_labels(case: Case<'_>) -> Vec<String> {
    let label = |key: &str| {
        let value = case.view.labels.get(key).map(String::as_str).unwrap_or_default();
        format!("{key}={value}")
    };
    vec![label("longshore.job"), label("longshore.kind")]
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
    let known = ["dangling", "label", "until", "reference"];
    let mut values = passed(filters, &known, &["before", "since"])?;
    if filters.0.contains_key("before") || filters.0.contains_key("since") {
        return Err(unknown("before"));
    }
    if let Some(patterns) = values.get_mut("reference") {
        // Names that are the job's alone are longer at the daemon.
        let prefix = case.view.local_prefix();
        let local: Vec<_> = patterns.iter().map(|pattern| format!("{prefix}{pattern}")).collect();
        patterns.extend(local);
    }
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
