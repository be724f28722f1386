//! What clients really send, recorded on a bare socket: Docker's command line 28 and its Python SDK 7, with
//! the names and ids of the job of these tests put in. All of it is allowed.

use serde::Deserialize;

use crate::broker::policy::{self, Decision};
use crate::broker::request::{BodyKind, Head, Method, Request, route};
use crate::broker::stand_in::{rules, view};

#[derive(Deserialize)]
struct Recorded {
    client: String,
    method: String,
    target: String,
    body: Option<String>,
    stream: bool,
}

fn recorded() -> impl Iterator<Item = Recorded> {
    include_str!("recorded.jsonl").lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn what_clients_send_is_allowed() {
    let mut clients = std::collections::BTreeSet::new();
    let mut rules = rules();
    rules.quota =
        crate::plan::Quota { containers: 9, networks: 9, volumes: 9, execs: 9, ..rules.quota };
    for request in recorded() {
        let body = request.body.unwrap_or_default();
        let has_body = request.stream || !body.is_empty();
        let kind = if request.stream { "application/x-tar" } else { "application/json" };
        let head = Head {
            method: Method::read(&request.method).unwrap(),
            target: request.target.clone(),
            content_type: has_body.then(|| kind.to_owned()),
            has_body,
        };
        let told = format!("{} {} {}", request.client, request.method, request.target);
        assert_eq!(route(&head).unwrap() == BodyKind::Stream, request.stream, "{told}");
        let read = Request::read(&head, body.as_bytes());
        let read = read.unwrap_or_else(|refusal| panic!("{told}: {}", refusal.message));
        let decision = policy::decide(&read, &view(), &rules);
        assert!(!matches!(decision, Decision::Refuse(_)), "{told}: {decision:?}");
        clients.insert(request.client);
    }
    assert_eq!(clients.into_iter().collect::<Vec<_>>(), ["cli28", "python-sdk"]);
}
