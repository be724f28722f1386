//! Ports: where they are published, how many, and where none are.

use serde_json::{Value, json};

use crate::broker::outgoing::{Kind, Note};
use crate::broker::policy::{self, Decision};
use crate::broker::request::Method::Post;
use crate::broker::request::{Head, Request};
use crate::broker::stand_in::{ask_of, body, refused, rules, view};
use crate::broker::view::JobView;

/// A creation that publishes so many ports.
fn publishing(count: u16) -> String {
    let bound: Vec<Value> =
        (0..count).map(|port| json!({"HostPort": (2000 + port).to_string()})).collect();
    json!({"Image": "busybox:1", "HostConfig": {"PortBindings": {"80/tcp": bound}}}).to_string()
}

fn status(view: &JobView, body: &str) -> u16 {
    match ask_of(view, Post, "/containers/create", body) {
        Decision::Refuse(refusal) => refusal.status,
        _ => 200,
    }
}

#[test]
fn a_jobs_containers_share_a_number_of_ports() {
    let mut view = view();
    assert_eq!([128, 129].map(|count| status(&view, &publishing(count))), [200, 429]);
    let Decision::Allow(allowed) = ask_of(&view, Post, "/containers/create", &publishing(100))
    else {
        panic!("refused")
    };
    assert!(allowed.notes.contains(&Note::Published { ports: 100 }), "{:?}", allowed.notes);
    let id = "1".repeat(64);
    view.record(&Note::Published { ports: 100 }, Some(&id));
    assert_eq!([28, 29].map(|count| status(&view, &publishing(count))), [200, 429]);
    // One more than there may be: of two at once neither saw the other.
    view.record(&Note::Published { ports: 29 }, Some(&"2".repeat(64)));
    assert_eq!([0, 1].map(|count| status(&view, &publishing(count))), [200, 429]);
    view.record(&Note::Removed { kind: Kind::Container, id }, None);
    assert_eq!(status(&view, &publishing(99)), 200);
}

#[test]
fn no_ports_are_published_where_the_operator_or_the_network_has_none() {
    let create = publishing(1);
    let head = Head {
        method: Post,
        target: "/containers/create".to_owned(),
        content_type: Some("application/json".to_owned()),
        has_body: true,
    };
    let request = Request::read(&head, create.as_bytes()).unwrap();
    let mut rules = rules();
    rules.publish = false;
    let decision = policy::decide(&request, &view(), &rules);
    assert!(matches!(decision, Decision::Refuse(refusal) if refusal.rule == "publish"));
    let mut view = view();
    view.gateway = None;
    assert_eq!(status(&view, &create), 403);
    assert_eq!(status(&view, &publishing(0)), 200);
}

#[test]
fn what_is_exposed_is_a_number_and_a_protocol() {
    let exposing = |port: &str| json!({"Image": "busybox:1", "ExposedPorts": {port: {}}});
    for port in ["80", "80/tcp", "8000-8010/udp", "9/sctp"] {
        let asked = ask_of(&view(), Post, "/containers/create", &exposing(port).to_string());
        let Decision::Allow(allowed) = asked else { panic!("{port}: {asked:?}") };
        assert_eq!(body(&allowed)["ExposedPorts"], json!({port: {}}));
    }
    for port in ["80/icmp", "x/tcp", "70000/tcp", "8000-x", "/tcp", ""] {
        let refusal = refused(Post, "/containers/create", &exposing(port).to_string());
        assert_eq!(refusal.rule, "ports", "{port}");
    }
}
