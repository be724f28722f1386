//! Prunes: never the daemon's own, but the job's objects one by one, without force.

use serde_json::{Value, json};

use super::filter::passed;
use super::{Case, Decision, Judged, Prune, Reply, container, network};
use crate::broker::outgoing::{Kind, Outgoing};
use crate::broker::refusal::Refusal;
use crate::broker::request::Filters;

fn check(filters: &Filters) -> Result<(), Refusal> {
    passed(filters, &["all", "dangling"], &[]).map(drop)
}

fn each(case: Case<'_>, kind: Kind, outgoing: impl Fn(&str) -> Outgoing) -> Decision {
    let all = case.view.all(kind).map(|(id, name)| {
        let shown = if kind == Kind::Container { id } else { name };
        (shown.to_owned(), outgoing(id))
    });
    Decision::Prune(Prune { kind, each: all.collect() })
}

/// Without force, so that the daemon itself keeps what runs.
pub(super) fn containers(case: Case<'_>, filters: &Filters) -> Judged {
    check(filters)?;
    Ok(each(case, Kind::Container, |id| container::remove(id, false, false)))
}

pub(super) fn networks(case: Case<'_>, filters: &Filters) -> Judged {
    check(filters)?;
    Ok(each(case, Kind::Network, network::remove))
}

pub(super) fn volumes(case: Case<'_>, filters: &Filters) -> Judged {
    check(filters)?;
    Ok(each(case, Kind::Volume, network::remove_volume))
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
pub(super) fn nothing(key: &str) -> Decision {
    let mut body = json!({"SpaceReclaimed": 0});
    body[key] = Value::Null;
    Decision::Reply(Reply::json(&body))
}
