//! Tests of answers: what is another's does not pass.

use serde_json::{Value, json};

use super::*;
use crate::broker::stand_in::{BUSYBOX, NET, SECRET, VICTIM, WEB, view};

fn shown(shape: Shape, value: &Value) -> Value {
    let bytes = document(shape, &view(), value.to_string().as_bytes()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    for hidden in ["victim", VICTIM, "/var/lib/docker", "longshore.job", "longshore-7-0badcafe-x-"]
    {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    serde_json::from_str(&text).unwrap()
}

#[test]
fn lists_show_the_jobs_own() {
    let containers = json!([
        {"Id": WEB, "Names": ["/longshore-7-0badcafe-x-web"], "Image": BUSYBOX,
            "Labels": {"longshore.job": "x", "a": "b"},
            "Mounts": [{"Source": "/var/lib/docker/volumes/x", "Destination": "/d"},
                {"Source": "/var/lib/docker/volumes/y", "Destination": "/.longshore-workspace"}]},
        {"Id": VICTIM, "Names": ["/victim"]},
    ]);
    let shown_list = shown(Shape::Containers, &containers);
    let expected = json!([{"Id": WEB, "Names": ["/web"], "Image": "busybox:1", "Labels": {"a": "b"},
        "Mounts": [{"Source": "", "Destination": "/d"}]}]);
    assert_eq!(shown_list, expected);
    let networks = json!([
        {"Id": NET, "Name": "longshore-7-0badcafe-x-net",
            "Containers": {WEB: {"Name": "longshore-7-0badcafe-x-web"}, VICTIM: {"Name": "victim"}}},
        {"Id": "f".repeat(64), "Name": "longshore-slot-3", "Containers": {VICTIM: {"Name": "victim"}}},
        {"Id": VICTIM, "Name": "victim"},
    ]);
    let networks = shown(Shape::Networks, &networks);
    assert_eq!(networks.as_array().unwrap().len(), 2);
    assert_eq!(networks[0]["Containers"], json!({WEB: {"Name": "web"}}));
    let volumes = json!({"Volumes": [
        {"Name": "longshore-7-0badcafe-x-data", "Mountpoint": "/var/lib/docker/x"},
        {"Name": "victimdata"}, {"Name": "longshore-7-0badcafe-builds"}], "Warnings": null});
    let volumes = shown(Shape::Volumes, &volumes);
    assert_eq!(volumes["Volumes"], json!([{"Name": "data", "Mountpoint": ""}]));
}

#[test]
fn images_show_names_that_the_job_may_know() {
    let mut view = view();
    view.record_image("longshore.invalid/7-0badcafe/app:1", "sha256:1");
    let images = json!([
        {"Id": BUSYBOX, "RepoTags": ["busybox:1", "victim.example/x:1"],
            "RepoDigests": [format!("busybox@sha256:{}", "1".repeat(64)), format!("victim/x@sha256:{}", "1".repeat(64))],
            "Containers": 3, "SharedSize": 4},
        {"Id": "sha256:1", "RepoTags": ["longshore.invalid/7-0badcafe/app:1"]},
        {"Id": "sha256:2", "RepoTags": ["victim.example/x:2"]},
        {"Id": "sha256:3", "RepoTags": null},
    ]);
    let bytes = document(Shape::Images, &view, images.to_string().as_bytes()).unwrap();
    let shown: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert_eq!(shown[0]["RepoTags"], json!(["busybox:1"]));
    assert_eq!(shown[0]["RepoDigests"].as_array().unwrap().len(), 1);
    assert_eq!(shown[0]["Containers"], -1);
    assert_eq!(shown[1]["RepoTags"], json!(["app:1"]));
}

#[test]
fn an_inspect_tells_nothing_of_the_host() {
    let container = json!({"Id": WEB, "Name": "/longshore-7-0badcafe-x-web",
        "LogPath": "/var/lib/docker/x", "GraphDriver": {"Data": {"UpperDir": "/var/lib/docker/y"}},
        "ResolvConfPath": "/var/lib/docker/z", "HostnamePath": "/var/lib/docker/z", "HostsPath": "/var/lib/docker/z",
        "Config": {"Image": BUSYBOX, "Labels": {"longshore.job": "x"}},
        "HostConfig": {"CgroupParent": "/longshore", "Mounts": [{"Source": "victim"}]},
        "NetworkSettings": {"SandboxKey": "/var/lib/docker/netns", "Networks": {"longshore-7-0badcafe-x-net": {}}}});
    let shown_container = shown(Shape::Container, &container);
    assert_eq!(shown_container["Config"]["Image"], "busybox:1");
    assert_eq!(shown_container["NetworkSettings"]["Networks"], json!({"net": {}}));
    let history = json!([{"Id": "sha256:9", "CreatedBy": format!("ENV A={SECRET}"), "Tags": ["victim.example/x:1"]}]);
    let shown_history = shown(Shape::History, &history);
    assert_eq!(shown_history[0]["CreatedBy"], "[MASKED]");
    assert_eq!(shown_history[0]["Id"], "<missing>");
}

#[test]
fn events_of_others_do_not_pass() {
    let event = |key: &str, id: &str| {
        json!({"Type": "container", "Action": "start", "Actor": {"ID": id,
            "Attributes": {"longshore.job": key, "name": "longshore-7-0badcafe-x-web"}}})
    };
    assert_eq!(
        shown(Shape::Event, &event("7-0badcafe", WEB))["Actor"]["Attributes"],
        json!({"name": "web"})
    );
    let other = event("8-deadbeef", VICTIM).to_string();
    assert!(document(Shape::Event, &view(), other.as_bytes()).unwrap().is_empty());
    // A step of another's build, from an image that carries this job's labels.
    let heir = event("7-0badcafe", VICTIM).to_string().replace("longshore-7-0badcafe-x-web", "sly");
    assert!(document(Shape::Event, &view(), heir.as_bytes()).unwrap().is_empty());
}

#[test]
fn what_is_no_answer_does_not_pass() {
    for (shape, text) in [
        (Shape::Containers, "{}"),
        (Shape::Container, "[]"),
        (Shape::Networks, "null"),
        (Shape::Network, "{\"Id\": \"x\", \"Name\": \"victim\"}"),
        (Shape::Image, "{\"Id\": \"sha256:x\"}"),
        (Shape::Plain, "not json"),
    ] {
        assert_eq!(document(shape, &view(), text.as_bytes()).unwrap_err().status, 503, "{text}");
    }
}

#[test]
fn errors_of_the_daemon_name_no_other_object() {
    let message = format!(
        "conflict: container {} uses it, {} too: longshore-7-0badcafe-x-data",
        &VICTIM[..12],
        &WEB[..12]
    );
    let shown = error(&view(), json!({ "message": message }).to_string().as_bytes());
    let expected = format!("conflict: container (another) uses it, {} too: data", &WEB[..12]);
    assert_eq!(shown, json!({ "message": expected }).to_string().into_bytes());
    assert!(String::from_utf8(error(&view(), b"<html>")).unwrap().contains("refused"));
}

#[test]
fn a_version_says_what_clients_need() {
    let version = json!({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12",
        "Os": "linux", "Arch": "amd64", "KernelVersion": "victim",
        "Components": [{"Name": "Engine", "Details": {"KernelVersion": "victim"}}]});
    assert_eq!(shown(Shape::Version, &version)["ApiVersion"], "1.41");
}
