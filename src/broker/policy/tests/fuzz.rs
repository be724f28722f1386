//! Many requests that are nearly right: none panics, and what is accepted keeps the invariants of a job's
//! containers, whatever it said.

use serde_json::{Value, json};

use super::cases;
use super::mutants::{Random, World, container, fields};
use crate::broker::outgoing::{OutBody, Outgoing};
use crate::broker::policy::Decision;
use crate::broker::request::Method;
use crate::broker::stand_in::{BUSYBOX, KEY, NET, VICTIM, WEB, ask_of, view};

fn world() -> World {
    let images = ["busybox:1", "busybox:1", "busybox:1", BUSYBOX, "python:3.13"];
    World {
        network: NET.to_owned(),
        victim: VICTIM.to_owned(),
        images: images.map(str::to_owned).to_vec(),
    }
}

/// What holds for each container of a job (note 3.3).
fn check_invariants(outgoing: &Outgoing) {
    let OutBody::Json(bytes) = &outgoing.body else { panic!("no body") };
    let body: Value = serde_json::from_slice(bytes).unwrap();
    let host = &body["HostConfig"];
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(body["Labels"]["longshore.job"], KEY, "{}", shown());
    assert_eq!(body["Labels"]["longshore.kind"], "brokered");
    assert_eq!(host["Privileged"], false);
    assert_eq!(host["CgroupParent"], "/longshore");
    assert!(host["Memory"].as_i64().unwrap() <= 1 << 30, "{}", shown());
    assert_eq!(host["Memory"], host["MemorySwap"]);
    assert!((1..=512).contains(&host["PidsLimit"].as_i64().unwrap()));
    assert!((1..=2_000_000_000).contains(&host["NanoCpus"].as_i64().unwrap()));
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert_eq!(host["PublishAllPorts"], false);
    assert!(host["OomScoreAdj"].as_i64().unwrap() >= 0);
    let network = host["NetworkMode"].as_str().unwrap();
    let container = format!("container:{WEB}");
    assert!(["none", "longshore-slot-3", NET, &container].contains(&network), "{network}");
    let ipc = host["IpcMode"].as_str().unwrap();
    assert!(["private", &container].contains(&ipc), "{ipc}");
    let dropped: Vec<&str> =
        host["CapDrop"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(["NET_RAW", "MKNOD", "AUDIT_WRITE"].iter().all(|one| dropped.contains(one)));
    for mount in host["Mounts"].as_array().unwrap() {
        let source = mount["Source"].as_str().unwrap_or_default();
        let own = source.starts_with("longshore-7-0badcafe-");
        assert!(mount["Type"] == "tmpfs" || (mount["Type"] == "volume" && own), "{mount}");
        assert!(mount["VolumeOptions"].get("DriverConfig").is_none());
    }
    for bound in host["PortBindings"].as_object().unwrap().values() {
        assert!(bound.as_array().unwrap().iter().all(|one| one["HostIp"] == "172.20.0.1"));
    }
    assert!(["json-file", "none"].contains(&host["LogConfig"]["Type"].as_str().unwrap()));
    assert_eq!(host["Ulimits"][0], json!({"Name": "core", "Soft": 0, "Hard": 0}));
    for never in
        ["Binds", "CapAdd", "Devices", "PidMode", "Sysctls", "MaskedPaths", "Runtime", "Links"]
    {
        assert!(host.get(never).is_none(), "{never}: {}", shown());
    }
    assert!(!shown().contains(VICTIM) && !shown().contains("victim"), "{}", shown());
}

#[test]
fn accepted_mutants_keep_the_invariants() {
    let (view, world, mutants) = (view(), world(), cases());
    let fields = fields(&world);
    let mut random = Random(0x5eed_5eed_5eed);
    let (mut accepted, mut refused, mut malformed) = (0, 0, 0);
    for _ in 0..mutants {
        let body = container(&mut random, &world, &fields);
        match ask_of(&view, Method::Post, "/v1.41/containers/create?name=x", &body) {
            Decision::Allow(outgoing) => {
                accepted += 1;
                check_invariants(&outgoing);
            }
            Decision::Refuse(refusal) if refusal.status == 400 => malformed += 1,
            Decision::Refuse(_) => refused += 1,
            other => panic!("{body}: {other:?}"),
        }
    }
    let shares =
        format!("{mutants} mutants: {accepted} accepted, {refused} refused, {malformed} malformed");
    println!("{shares}"); // with --nocapture
    assert!(accepted * 5 >= mutants, "{shares}");
    assert!(refused > 0 && malformed > 0, "{shares}");
}

/// Targets that are nearly right.
fn target(random: &mut Random) -> String {
    let parts = [
        "containers",
        "images",
        "networks",
        "volumes",
        "exec",
        "web",
        VICTIM,
        WEB,
        "json",
        "start",
        "create",
        "attach",
        "prune",
        "build",
        "events",
        "net",
        "..",
        "%2e%2e",
        "v1.41",
        "v1.9",
        "busybox:1",
        "logs",
        "archive",
        "registry.example",
        "team",
        "app:test",
        "push",
        "tag",
        "",
        "_ping",
    ];
    let keys =
        ["all", "filters", "name", "t", "repo", "tag", "path", "force", "fromImage", "signal", "x"];
    let values = [
        "1",
        "0",
        "",
        "%7B%22name%22%3A%5B%22web%22%5D%7D",
        "..",
        "%00",
        "busybox",
        "a/b",
        "%zz",
        "/etc",
    ];
    let mut target = String::new();
    for _ in 0..=random.below(5) {
        target.push('/');
        target.push_str(random.one::<&str>(&parts));
    }
    for number in 0..random.below(4) {
        target.push(if number == 0 { '?' } else { '&' });
        target.push_str(random.one::<&str>(&keys));
        target.push('=');
        target.push_str(random.one::<&str>(&values));
    }
    target
}

#[test]
fn no_target_reaches_an_object_of_others() {
    let view = view();
    let mut random = Random(0xbeef);
    let methods = [Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete];
    let mut accepted = 0;
    for _ in 0..cases() {
        let target = target(&mut random);
        let method = *random.one(&methods);
        if let Decision::Allow(outgoing) = ask_of(&view, method, &target, "") {
            accepted += 1;
            let path = &outgoing.path;
            assert!(
                !path.contains(VICTIM) && !path.contains("..") && !path.contains('%'),
                "{target}: {path}"
            );
        }
    }
    assert!(accepted > 100, "{accepted}");
}
