//! What must work, and what it becomes on its way.

use serde_json::json;

use crate::broker::outgoing::{Answer, Deed, Kind, Link, LoginFor, Note, OutBody, Patience, Shape};
use crate::broker::policy::Decision;
use crate::broker::request::Method::{Delete, Get, Post, Put};
use crate::broker::stand_in::{
    BUSYBOX, EXEC, KEY, NET, SECRET, WEB, allowed, ask, ask_of, body, refused, view,
};

fn created(fields: &str) -> serde_json::Value {
    body(&allowed(Post, "/containers/create", &format!(r#"{{"Image":"busybox:1",{fields}}}"#)))
}

#[test]
fn a_container_has_the_jobs_labels_limits_and_network() {
    let outgoing = allowed(
        Post,
        "/v1.41/containers/create?name=db",
        r#"{"Image":"busybox:1","Cmd":["true"],"Labels":{"com.docker.compose.project":"p"},
            "HostConfig":{"Memory":9999999999,"NanoCpus":500000000,"PidsLimit":0}}"#,
    );
    assert_eq!(outgoing.query, [("name", "longshore-7-0badcafe-x-db".to_owned())]);
    assert_eq!(outgoing.api, Some(41));
    let created = body(&outgoing);
    assert_eq!(created["Image"], BUSYBOX);
    assert_eq!(created["Labels"]["longshore.job"], KEY);
    assert_eq!(created["Labels"]["com.docker.compose.project"], "p");
    let host = &created["HostConfig"];
    for (field, expected) in [
        ("Memory", json!(1_u64 << 30)),
        ("MemorySwap", json!(1_u64 << 30)),
        ("NanoCpus", json!(500_000_000)),
        ("PidsLimit", json!(512)),
        ("CgroupParent", json!("/longshore")),
        ("NetworkMode", json!("longshore-slot-3")),
        ("RestartPolicy", json!({"Name": "no"})),
        ("Privileged", json!(false)),
        ("SecurityOpt", json!(["no-new-privileges"])),
        ("CapDrop", json!(["AUDIT_WRITE", "MKNOD", "NET_RAW", "SYS_CHROOT"])),
        ("Ulimits", json!([{"Name": "core", "Soft": 0, "Hard": 0}])),
    ] {
        assert_eq!(host[field], expected, "{field}");
    }
    let endpoints = &created["NetworkingConfig"]["EndpointsConfig"];
    assert_eq!(endpoints["longshore-slot-3"]["Aliases"], json!(["db"]));
    let note = Note::Created { kind: Kind::Container, name: "db".to_owned(), id: None };
    assert_eq!(outgoing.notes, [note]);
}

#[test]
fn the_jobs_directory_is_mounted_as_a_part_of_its_volume() {
    let mut view = view();
    view.daemon.api_minor = 47;
    let request = r#"{"Image":"busybox:1","HostConfig":{"Binds":["/builds/team/app:/src:ro","longshore-workspace/sub:/sub"]}}"#;
    let Decision::Allow(outgoing) = ask_of(&view, Post, "/containers/create", request) else {
        panic!("refused")
    };
    let mounts = &body(&outgoing)["HostConfig"]["Mounts"];
    assert_eq!(mounts[0]["Source"], "longshore-7-0badcafe-builds");
    assert_eq!(mounts[0]["VolumeOptions"]["Subpath"], "team/app");
    assert_eq!(mounts[0]["ReadOnly"], true);
    assert_eq!(mounts[1]["VolumeOptions"]["Subpath"], "team/app/sub");
    assert!(outgoing.links.is_empty());
}

#[test]
fn an_old_daemon_mounts_all_of_it_and_gets_links() {
    let request = r#"{"Image":"busybox:1","HostConfig":{"Binds":
        ["/builds/team/app:/src","/builds/team/app/conf:/conf:ro","/builds/team/app/x:/x"]}}"#;
    let outgoing = allowed(Post, "/containers/create", request);
    let mounts = &body(&outgoing)["HostConfig"]["Mounts"];
    assert_eq!(mounts.as_array().unwrap().len(), 2);
    assert_eq!(mounts[0]["Target"], "/.longshore-workspace");
    assert_eq!(mounts[1]["Target"], "/.longshore-workspace-ro");
    assert_eq!(mounts[1]["ReadOnly"], true);
    let link = |at: &str, to: &str| Link { at: at.to_owned(), to: to.to_owned() };
    let expected = [
        link("/conf", "/.longshore-workspace-ro/team/app/conf"),
        link("/src", "/.longshore-workspace/team/app"),
        link("/x", "/.longshore-workspace/team/app/x"),
    ];
    assert_eq!(outgoing.links, expected);
    let whole = r#""HostConfig":{"Binds":["/builds:/builds"]}"#;
    assert_eq!(created(whole)["HostConfig"]["Mounts"][0]["Target"], "/builds");
}

#[test]
fn volumes_are_the_jobs_own_and_carry_its_labels() {
    let outgoing = allowed(
        Post,
        "/containers/create",
        r#"{"Image":"busybox:1","Volumes":{"/cache":{}},
            "HostConfig":{"Binds":["data:/d","new:/n:nocopy"]}}"#,
    );
    let mounts = &body(&outgoing)["HostConfig"]["Mounts"];
    let sources: Vec<_> = mounts.as_array().unwrap().iter().map(|one| &one["Source"]).collect();
    let expected = ["data", "new", "fresh02"].map(|name| format!("longshore-7-0badcafe-x-{name}"));
    assert_eq!(sources, expected.each_ref());
    assert!(
        mounts
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["VolumeOptions"]["Labels"]["longshore.job"] == KEY)
    );
    assert_eq!(outgoing.notes.len(), 3, "{:?}", outgoing.notes);
}

#[test]
fn ports_are_published_on_the_jobs_own_network() {
    let ports = created(
        r#""ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"5432/tcp":[{"HostIp":"","HostPort":""}],
            "80/tcp":[{"HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}]}}"#,
    );
    let bound = &ports["HostConfig"]["PortBindings"];
    assert_eq!(bound["5432/tcp"], json!([{"HostIp": "172.20.0.1", "HostPort": ""}]));
    assert_eq!(bound["80/tcp"], json!([{"HostIp": "172.20.0.1", "HostPort": "8080"}]));
    let all = created(r#""ExposedPorts":{"80/tcp":{}},"HostConfig":{"PublishAllPorts":true}"#);
    assert_eq!(all["HostConfig"]["PublishAllPorts"], false);
    assert_eq!(all["HostConfig"]["PortBindings"]["80/tcp"][0]["HostIp"], "172.20.0.1");
}

#[test]
fn own_objects_are_addressed_by_their_full_ids() {
    for (method, target, path) in [
        (Get, "/containers/web/json".to_owned(), format!("/containers/{WEB}/json")),
        (Get, format!("/v1.41/containers/{}/json", &WEB[..12]), format!("/containers/{WEB}/json")),
        (Post, "/containers/web/start".to_owned(), format!("/containers/{WEB}/start")),
        (Delete, "/containers/web?v=1&force=1".to_owned(), format!("/containers/{WEB}")),
        (Put, "/containers/web/archive?path=/tmp".to_owned(), format!("/containers/{WEB}/archive")),
        (Get, format!("/exec/{EXEC}/json"), format!("/exec/{EXEC}/json")),
        (Get, "/networks/net".to_owned(), format!("/networks/{NET}")),
        (Get, "/networks/bridge".to_owned(), "/networks/longshore-slot-3".to_owned()),
        (Get, "/volumes/data".to_owned(), "/volumes/longshore-7-0badcafe-x-data".to_owned()),
        (Get, "/images/busybox:1/json".to_owned(), format!("/images/{BUSYBOX}/json")),
        (
            Get,
            "/images/docker.io%2Flibrary%2Fbusybox:1/json".to_owned(),
            format!("/images/{BUSYBOX}/json"),
        ),
    ] {
        assert_eq!(allowed(method, &target, "").path, path, "{target}");
    }
    assert_eq!(
        allowed(Post, "/containers/web/attach?stream=1&stdout=1", "").answer,
        Answer::Hijack
    );
    let start = allowed(Post, &format!("/exec/{EXEC}/start"), r#"{"Detach":false,"Tty":true}"#);
    assert_eq!(start.answer, Answer::Hijack);
}

#[test]
fn lists_ask_for_the_jobs_own() {
    let filters = |target: &str| {
        let outgoing = allowed(Get, target, "");
        let (_, text) = outgoing.query.iter().find(|(key, _)| *key == "filters").unwrap().clone();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let all = filters("/containers/json?all=1&filters={%22label%22:{%22a=b%22:true}}");
    assert_eq!(all["id"], json!([WEB]));
    assert_eq!(
        all["label"],
        json!(["a=b", format!("longshore.job={KEY}"), "longshore.kind=brokered"])
    );
    assert_eq!(filters("/containers/json?filters={%22name%22:[%22^/web$%22]}")["id"], json!([WEB]));
    assert_eq!(filters("/networks")["id"], json!([NET, "f".repeat(64)]));
    assert_eq!(filters("/events")["type"], json!(["container"]));
    for target in [
        "/containers/json?filters={%22name%22:[%22victim%22]}",
        "/containers/json?filters={%22volume%22:[%22victim%22]}",
        "/containers/json?filters={%22id%22:[%22bbbb%22]}",
    ] {
        assert!(matches!(ask(Get, target, ""), Decision::Reply(reply) if reply.body == b"[]"));
    }
}

#[test]
fn a_prune_deletes_the_jobs_own_one_by_one() {
    for (target, path) in [
        ("/containers/prune", format!("/containers/{WEB}")),
        ("/networks/prune", format!("/networks/{NET}")),
        ("/volumes/prune", "/volumes/longshore-7-0badcafe-x-data".to_owned()),
    ] {
        let Decision::Prune(prune) = ask(Post, target, "") else { panic!("{target}") };
        assert_eq!(prune.each.len(), 1);
        assert_eq!(
            (prune.each[0].1.path.as_str(), prune.each[0].1.query.len()),
            (path.as_str(), 0)
        );
    }
    assert!(matches!(ask(Post, "/images/prune", ""), Decision::Reply(_)));
    assert!(matches!(ask(Post, "/build/prune", ""), Decision::Reply(_)));
}

#[test]
fn images_are_pulled_with_the_jobs_login_and_pushed_by_rule() {
    let pull = allowed(Post, "/images/create?fromImage=postgres&tag=16", "");
    let reference = "docker.io/library/postgres:16".to_owned();
    assert_eq!(pull.login, LoginFor::Image(reference.clone()));
    // As long as it takes, and with its errors found in what the daemon tells on the way.
    assert_eq!((pull.patience, pull.answer), (Patience::Job, Answer::Documents(Shape::Progress)));
    assert_eq!(
        pull.notes,
        [Note::Images { references: vec![reference], deed: Some(Deed::Pulled) }]
    );
    let push = allowed(Post, "/images/registry.example/team/app/push?tag=test", "");
    assert_eq!(push.path, "/images/registry.example/team/app/push");
    assert_eq!(push.query, [("tag", "test".to_owned())]);
    let tag = allowed(Post, "/images/busybox:1/tag?repo=registry.example/team/app&tag=test", "");
    assert_eq!(tag.path, format!("/images/{BUSYBOX}/tag"));
    let local = allowed(Post, "/images/busybox:1/tag?repo=app&tag=test", "");
    assert_eq!(local.query[0].1, "longshore.invalid/7-0badcafe/app");
    let shared = allowed(Get, "/images/shared:1/json", "");
    assert_eq!(shared.path, "/images/docker.io/library/shared:1/json");
    let references = vec!["docker.io/library/shared:1".to_owned()];
    assert_eq!(shared.notes, [Note::Images { references, deed: None }], "the job's from now on");
    assert_eq!(allowed(Get, "/images/busybox:1/json", "").notes, [], "it is already");
    let Decision::Reply(reply) = ask(Delete, "/images/busybox:1", "") else { panic!() };
    assert_eq!(reply.notes.len(), 1);
}

#[test]
fn an_image_is_named_by_its_digest_or_the_beginning_of_its_id() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for image in [format!("busybox&tag={digest}"), format!("busybox@{digest}&tag=latest")] {
        let pull = allowed(Post, &format!("/images/create?fromImage={image}"), "");
        assert_eq!(pull.query[1], ("tag", digest.clone()), "{image}");
    }
    let id = &BUSYBOX["sha256:".len()..];
    for begin in [&id[..12], &BUSYBOX[..11], BUSYBOX, id] {
        let path = allowed(Get, &format!("/images/{begin}/json"), "").path;
        assert_eq!(path, format!("/images/{BUSYBOX}/json"), "{begin}");
    }
    // That short it is the name of an image.
    assert_eq!(refused(Get, &format!("/images/{}/json", &id[..11]), "").status, 404);
}

#[test]
fn a_build_has_the_jobs_limits_and_names() {
    let bake =
        format!("buildargs={{%22PAGE_SECRET%22:%22{SECRET}%22}}&t=registry.example/team/app:test");
    let Decision::Build(plan) = ask(Post, &format!("/build?version=1&q=1&{bake}&rm=1&pull=1"), "")
    else {
        panic!()
    };
    let query = &plan.outgoing.query;
    let value = |key: &str| {
        let found = query.iter().find(|(known, _)| *known == key);
        found.map_or("", |(_, value)| value.as_str())
    };
    assert_eq!(value("t"), "registry.example/team/app:test");
    assert_eq!(value("networkmode"), "longshore-slot-3");
    assert_eq!((value("memory"), value("memswap")), ("1073741824", "1073741824"));
    assert_eq!((value("cpuquota"), value("cgroupparent")), ("200000", "/longshore"));
    assert_eq!((value("forcerm"), value("dockerfile")), ("1", ""));
    assert_eq!(plan.outgoing.told.len(), 1);
    assert!(
        plan.outgoing.told[0].contains("PAGE_SECRET") && !plan.outgoing.told[0].contains(SECRET)
    );
    assert_eq!((plan.dockerfile.as_str(), plan.pull), ("Dockerfile", true));
    assert_eq!(plan.outgoing.body, OutBody::Archive);
}

#[test]
fn names_for_addresses_are_the_operators_and_the_jobs() {
    let mut view = view();
    view.resolver.extra_hosts = vec!["db:10.0.0.9".to_owned()];
    let body = r#"{"Image":"busybox:1","HostConfig":{"ExtraHosts":["a:10.0.0.1","b=[fd00::1]"]}}"#;
    let Decision::Allow(created) = ask_of(&view, Post, "/containers/create", body) else {
        panic!("refused")
    };
    let expected = ["db:10.0.0.9", "a:10.0.0.1", "b:fd00::1"];
    assert_eq!(self::body(&created)["HostConfig"]["ExtraHosts"], json!(expected));
    let target = "/build?extrahosts=a%3A10.0.0.1&extrahosts=b%3Dfd00::1";
    let Decision::Build(plan) = ask_of(&view, Post, target, "") else { panic!("refused") };
    let sent = plan.outgoing.query.iter().filter(|(key, _)| *key == "extrahosts");
    assert_eq!(sent.map(|(_, host)| host.as_str()).collect::<Vec<_>>(), expected);
}

#[test]
fn info_and_ping_say_nothing_of_the_host() {
    for target in ["/_ping", "/v1.41/info"] {
        let Decision::Reply(reply) = ask(Get, target, "") else { panic!() };
        assert_eq!(reply.status, 200);
    }
    let Decision::Reply(reply) = ask(Get, "/_ping", "") else { panic!() };
    assert!(reply.headers.contains(&("Builder-Version", "1".to_owned())));
    let login = r#"{"username":"u","password":"p","serveraddress":"registry.example"}"#;
    assert!(matches!(ask(Post, "/auth", login), Decision::Reply(_)));
}
