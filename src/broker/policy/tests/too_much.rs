//! What is refused for how much it is; and that no refusal repeats what was asked for.

use crate::broker::outgoing;
use crate::broker::policy::Decision;
use crate::broker::request::Method::Post;
use crate::broker::stand_in::{SECRET, ask_of, refused, view};

#[test]
fn too_much() {
    let mut view = view();
    let body = r#"{"Image":"busybox:1"}"#;
    let mut ask = |kind, target: &str, body: &str| {
        for number in 0..4 {
            view.adopt(kind, &format!("{number:064}"), "longshore-7-0badcafe-x-x");
        }
        match ask_of(&view, Post, target, body) {
            Decision::Refuse(refusal) => (refusal.status, refusal.rule),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(outgoing::Kind::Container, "/containers/create", body), (429, "quota"));
    assert_eq!(ask(outgoing::Kind::Network, "/networks/create", r#"{"Name":"n"}"#), (429, "quota"));
    assert_eq!(ask(outgoing::Kind::Volume, "/volumes/create", r#"{"Name":"n"}"#), (429, "quota"));
    assert_eq!(ask(outgoing::Kind::Exec, "/containers/web/exec", "{}"), (429, "quota"));
}

#[test]
fn what_is_being_made_counts() {
    let mut view = view();
    let body = r#"{"Image":"busybox:1"}"#;
    view.own.coming.insert(outgoing::Kind::Container, 2);
    assert!(matches!(ask_of(&view, Post, "/containers/create", body), Decision::Allow(_)));
    view.own.coming.insert(outgoing::Kind::Container, 3);
    let decision = ask_of(&view, Post, "/containers/create", body);
    assert!(matches!(decision, Decision::Refuse(refusal) if refusal.status == 429));
}

#[test]
fn what_only_carries_the_labels_is_not_adopted() {
    let mut view = view();
    view.adopt(outgoing::Kind::Container, &"7".repeat(64), "/sly_hopper");
    assert!(!view.owns(outgoing::Kind::Container, &"7".repeat(64)));
}

#[test]
fn no_refusal_shows_a_value() {
    for body in [
        format!(r#"{{"Image":"busybox:1","HostConfig":{{"Binds":["/{SECRET}:/x"]}}}}"#),
        format!(r#"{{"Image":"busybox:1","HostConfig":{{"CapAdd":["{SECRET}"]}}}}"#),
        format!(r#"{{"Image":"busybox:1","HostConfig":{{"ExtraHosts":["{SECRET}"]}}}}"#),
        format!(r#"{{"Image":"busybox:1","Tty":"{SECRET}"}}"#),
        format!(r#"{{"Image":"busybox:1","User":{{"{SECRET}":1}}}}"#),
        format!(r#"{{"Image":"busybox:1","HostConfig":{{"Ulimits":[{{"Name":"{SECRET}"}}]}}}}"#),
    ] {
        let refusal = refused(Post, "/containers/create", &body);
        assert!(!refusal.message.contains("geheim"), "{}", refusal.message);
    }
}
