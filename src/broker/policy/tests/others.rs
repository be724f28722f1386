//! What must never pass: another job's containers, networks, volumes and images look as if they were not there,
//! and nobody writes labels of ours.

use super::attacks::{check, create};
use crate::broker::policy::{self, Decision};
use crate::broker::request::Method::{self, Delete, Get, Head, Post, Put};
use crate::broker::request::Request;
use crate::broker::stand_in::{VICTIM, refused, rules, view};
use crate::plan::{BrokerPlan, Patterns};

#[test]
fn another_jobs_container_is_like_none() {
    let calls: [(Method, &str); 22] = [
        (Get, "json"),
        (Get, "logs?stdout=1"),
        (Get, "top"),
        (Get, "stats"),
        (Get, "changes"),
        (Get, "export"),
        (Head, "archive?path=/etc"),
        (Get, "archive?path=/etc"),
        (Put, "archive?path=/etc"),
        (Post, "start"),
        (Post, "stop"),
        (Post, "restart"),
        (Post, "kill"),
        (Post, "pause"),
        (Post, "unpause"),
        (Post, "resize?h=1&w=1"),
        (Post, "wait"),
        (Post, "rename?name=x"),
        (Post, "attach?stream=1"),
        (Post, "update"),
        (Post, "exec"),
        (Delete, ""),
    ];
    for (method, call) in calls {
        let body = if matches!(call, "update" | "exec") { "{}" } else { "" };
        let at = |name: &str| format!("/containers/{name}/{call}").trim_end_matches('/').to_owned();
        // A name, a full id, the beginning of one, a name that is also the beginning of an id.
        for other in ["victim", VICTIM, &VICTIM[..12], "longshore-8-deadbeef-job"] {
            let refusal = refused(method, &at(other), body);
            assert_eq!((refusal.status, refusal.told), (404, false), "{call}");
            let absent = refused(method, &at("nothing"), body);
            let shown = String::from_utf8(absent.body()).unwrap().replace("nothing", other);
            assert_eq!(String::from_utf8(refusal.body()).unwrap(), shown);
            assert_eq!(refusal.message, format!("No such container: {other}"));
        }
    }
    check(&[
        (Post, &format!("/exec/{VICTIM}/start"), "{}", 404, "absent"),
        (Post, &format!("/commit?container={VICTIM}&repo=x"), "{}", 404, "absent"),
        (Get, "/networks/victimnet", "", 404, "absent"),
        (Get, "/networks/host", "", 404, "absent"),
        (Delete, "/networks/victimnet", "", 404, "absent"),
        (Get, "/volumes/longshore-8-deadbeef-builds", "", 404, "absent"),
        (Get, "/volumes/longshore-7-0badcafe-builds", "", 404, "absent"),
        (Delete, "/volumes/victimdata", "", 404, "absent"),
        (Get, "/images/victim.example/x:1/json", "", 404, "absent"),
        (Get, "/images/python:3.13/history", "", 404, "absent"),
        (Post, "/networks/net/connect", &format!(r#"{{"Container":"{VICTIM}"}}"#), 404, "absent"),
        (Post, "/networks/bridge2/connect", r#"{"Container":"web"}"#, 404, "absent"),
    ]);
    for mode in ["NetworkMode", "IpcMode"] {
        let body = format!(r#""HostConfig":{{"{mode}":"container:{VICTIM}"}}"#);
        assert_eq!(create(&body), (404, "absent"));
    }
    assert_eq!(create(&format!(r#""HostConfig":{{"VolumesFrom":["{VICTIM}"]}}"#)), (404, "absent"));
    assert_eq!(create(r#""HostConfig":{"NetworkMode":"victimnet"}"#), (404, "absent"));
    assert_eq!(
        create(r#""NetworkingConfig":{"EndpointsConfig":{"victimnet":{}}}"#),
        (404, "absent")
    );
}

#[test]
fn images_of_others() {
    check(&[
        (Post, "/containers/create", r#"{"Image":"python:3.13"}"#, 404, "absent"),
        (Post, "/containers/create", r#"{"Image":"sha256:0000"}"#, 404, "absent"),
        (Post, "/images/python:3.13/tag?repo=x", "", 404, "absent"),
        (
            Post,
            "/images/busybox:1/tag?repo=registry.example/other/app&tag=latest",
            "",
            403,
            "image-name",
        ),
        (Post, "/images/busybox:1/tag?repo=library.example/x", "", 403, "image-name"),
        (Post, "/images/registry.example/other/app/push?tag=test", "", 403, "push"),
        (Post, "/images/registry.example/team/app/push?tag=latest", "", 403, "push"),
        (Post, "/images/registry.example/team/app/push", "", 403, "push"),
        (Post, "/images/busybox/push?tag=1", "", 403, "push"),
        (Delete, "/images/python:3.13", "", 404, "absent"),
        (Delete, "/images/registry.example/team/app:other", "", 404, "absent"),
        (Delete, "/images/dddddddddddd", "", 403, "image-remove"),
        (Get, "/images/get?names=python:3.13", "", 404, "absent"),
        (Get, "/distribution/evil.example/x/json", "", 403, "registry"),
        (Post, "/commit?container=web&repo=registry.example/other/x", "{}", 403, "image-name"),
        (Post, "/commit?container=web&changes=ENV%20A=1", "{}", 403, "commit"),
    ]);
}

/// However wide the operator's patterns are.
#[test]
fn what_is_one_jobs_alone_is_nobody_elses() {
    let all = || Patterns::new(vec!["**".to_owned()]).unwrap();
    let rules = BrokerPlan { allowed_images: all(), shared_images: all(), ..rules() };
    let judged = |target: &str| {
        let head = crate::broker::request::Head {
            method: Post,
            target: target.to_owned(),
            content_type: None,
            has_body: false,
        };
        let request = Request::read(&head, b"").unwrap();
        match policy::decide(&request, &view(), &rules) {
            Decision::Refuse(refusal) => refusal.status,
            _ => 200,
        }
    };
    let theirs = "longshore.invalid/8-deadbeef/app";
    assert_eq!(judged(&format!("/images/{theirs}:1/tag?repo=mine")), 404);
    assert_eq!(judged(&format!("/images/create?fromImage={theirs}&tag=1")), 403);
    assert_eq!(judged("/images/create?fromImage=any.example/app&tag=1"), 200);
    assert_eq!(judged("/images/any.example/app:1/tag?repo=mine"), 200);
}

#[test]
fn our_labels_are_ours() {
    for key in ["longshore.job", "Longshore.Job", "longshore.kind"] {
        assert_eq!(create(&format!(r#""Labels":{{"{key}":"x"}}"#)), (403, "labels"));
    }
    check(&[
        (Post, "/networks/create", r#"{"Name":"n","Labels":{"longshore.job":"x"}}"#, 403, "labels"),
        (Post, "/volumes/create", r#"{"Name":"n","Labels":{"longshore.job":"x"}}"#, 403, "labels"),
    ]);
}
