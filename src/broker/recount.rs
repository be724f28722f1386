//! Before a job is told that it has too many of something: what went by itself is forgotten, for nobody tells
//! of it. Asks the daemon; removes nothing.

use serde_json::{Value, json};

use super::outgoing::{Kind, Note};
use super::session::Broker;

/// Forgets containers that are gone (`--rm`) and exec instances that have ended.
pub(super) async fn forget_gone(broker: &Broker) {
    let known = |kind| -> Vec<String> {
        broker.with_view(|view| view.all(kind).map(|(id, _)| id.to_owned()).collect())
    };
    // First what is known, then what is there: what is made meanwhile stays.
    let containers = known(Kind::Container);
    let label = broker.with_view(|view| format!("longshore.job={}", view.key));
    let filters = json!({ "label": [label] }).to_string();
    let query = [("all", "1"), ("filters", filters.as_str())];
    if let Ok(Value::Array(there)) = broker.daemon.look("/containers/json", &query).await {
        let is_there = |id: &String| there.iter().any(|one| one["Id"] == *id.as_str());
        for id in containers.into_iter().filter(|id| !is_there(id)) {
            broker.record(&Note::Removed { kind: Kind::Container, id }, None);
        }
    }
    let too_many = broker.judged(|(view, rules)| view.count(Kind::Exec) >= rules.quota.execs);
    let execs = if too_many { known(Kind::Exec) } else { Vec::new() };
    for id in execs {
        // One that was never started has no exit code, and the daemon keeps it.
        let told = broker.daemon.look(&format!("/exec/{id}/json"), &[]).await;
        let ended = |told: &Value| {
            told.get("ID").is_none() || (told["Running"] == false && told["ExitCode"].is_i64())
        };
        if told.is_ok_and(|told| ended(&told)) {
            broker.record(&Note::Removed { kind: Kind::Exec, id }, None);
        }
    }
}
