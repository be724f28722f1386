//! Many requests that are nearly right: none panics, and what is accepted keeps the invariants of a job's
//! containers, whatever it said.

use serde_json::{Value, json};

use crate::broker::outgoing::{OutBody, Outgoing};
use crate::broker::policy::Decision;
use crate::broker::request::Method;
use crate::broker::stand_in::{BUSYBOX, KEY, NET, VICTIM, WEB, ask_of, view};

/// Mutants of one test run.
const MUTANTS: usize = 100_000;

/// Small, fast, and the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
/// Field of a container's creation, and values for it, some of which are fine.
fn fields() -> Vec<(&'static str, Vec<Value>)> {
    let container = |id: &str| json!(format!("container:{id}"));
    vec![
        ("Cmd", vec![json!(["true"]), json!(null), json!("sh"), json!([])]),
        ("Env", vec![json!(["A=b"]), json!(["A"]), json!(["=x"])]),
        ("Labels", vec![json!({"a": "b"}), json!({"longshore.job": "x"}), json!({})]),
        ("Tty", vec![json!(true), json!(false), json!(1)]),
        ("User", vec![json!("0"), json!("")]),
        ("Volumes", vec![json!({"/v": {}}), json!({"/proc": {}}), json!({})]),
        ("ExposedPorts", vec![json!({"80/tcp": {}}), json!({"x": {}})]),
        ("NetworkDisabled", vec![json!(false), json!(true)]),
        ("privileged", vec![json!(true), json!(null)]),
        ("HostConfig.Privileged", vec![json!(false), json!(true), json!(0)]),
        ("HostConfig.privileged", vec![json!(true)]),
        (
            "HostConfig.Binds",
            vec![
                json!(["data:/d"]),
                json!(["/builds/team/app:/src"]),
                json!(["/:/h"]),
                json!(["/builds/../etc:/h"]),
                json!(["x:/proc"]),
                json!(null),
            ],
        ),
        (
            "HostConfig.Mounts",
            vec![
                json!([{"Type": "volume", "Source": "data", "Target": "/m"}]),
                json!([{"Type": "tmpfs", "Target": "/m"}]),
                json!([{"Type": "bind", "Source": "/etc", "Target": "/m"}]),
                json!([{"Type": "volume", "Target": "/m", "VolumeOptions":
                    {"DriverConfig": {"Options": {"device": "/"}}}}]),
            ],
        ),
        (
            "HostConfig.NetworkMode",
            vec![
                json!("default"),
                json!("bridge"),
                json!("none"),
                json!("host"),
                json!("net"),
                json!(NET),
                container("web"),
                container(VICTIM),
                json!("victim"),
                json!("longshore-slot-4"),
            ],
        ),
        (
            "HostConfig.IpcMode",
            vec![json!("private"), json!("host"), container("web"), container("victim")],
        ),
        ("HostConfig.PidMode", vec![json!(""), json!("host"), container("web")]),
        (
            "HostConfig.CapAdd",
            vec![json!([]), json!(["CHOWN"]), json!(["SYS_ADMIN"]), json!(["ALL"])],
        ),
        ("HostConfig.CapDrop", vec![json!(["ALL"]), json!(["chown"]), json!(null)]),
        (
            "HostConfig.SecurityOpt",
            vec![json!(["no-new-privileges"]), json!(["seccomp=unconfined"])],
        ),
        (
            "HostConfig.Memory",
            vec![json!(0), json!(1 << 28), json!(1_u64 << 40), json!(-1), json!("1g")],
        ),
        ("HostConfig.MemorySwap", vec![json!(-1), json!(1 << 29)]),
        ("HostConfig.PidsLimit", vec![json!(-1), json!(10), json!(1 << 20)]),
        ("HostConfig.NanoCpus", vec![json!(1_000_000_000), json!(64_000_000_000_i64)]),
        ("HostConfig.CpuQuota", vec![json!(50_000), json!(-1), json!(9_000_000)]),
        ("HostConfig.CpuShares", vec![json!(2), json!(1 << 18)]),
        ("HostConfig.ShmSize", vec![json!(1 << 20), json!(1_u64 << 41)]),
        ("HostConfig.OomScoreAdj", vec![json!(0), json!(500), json!(-1000)]),
        (
            "HostConfig.Ulimits",
            vec![
                json!([{"Name": "nofile", "Soft": 1, "Hard": 2}]),
                json!([{"Name": "core", "Soft": -1, "Hard": -1}]),
                json!([{"Name": "nofile", "Soft": 1, "Hard": -1}]),
            ],
        ),
        ("HostConfig.RestartPolicy", vec![json!({"Name": "no"}), json!({"Name": "always"})]),
        ("HostConfig.LogConfig", vec![json!({"Type": "json-file"}), json!({"Type": "syslog"})]),
        (
            "HostConfig.PortBindings",
            vec![
                json!({"80/tcp": [{"HostPort": "8080"}]}),
                json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}]}),
                json!({"80/tcp": [{"HostPort": "22"}]}),
                json!({"80/tcp": null}),
            ],
        ),
        ("HostConfig.PublishAllPorts", vec![json!(true), json!(false)]),
        ("HostConfig.ExtraHosts", vec![json!(["a:10.0.0.1"]), json!(["a:host-gateway"])]),
        ("HostConfig.VolumesFrom", vec![json!(["web:ro"]), json!([VICTIM])]),
        ("HostConfig.CgroupParent", vec![json!(""), json!("/")]),
        ("HostConfig.Devices", vec![json!([]), json!([{"PathOnHost": "/dev/kvm"}])]),
        ("HostConfig.MaskedPaths", vec![json!(null), json!([])]),
        ("HostConfig.Sysctls", vec![json!({}), json!({"kernel.shmmax": "1"})]),
        ("HostConfig.Runtime", vec![json!(""), json!("runc")]),
        (
            "NetworkingConfig.EndpointsConfig",
            vec![
                json!({"net": {"Aliases": ["a"]}}),
                json!({"default": null}),
                json!({"victim": {}}),
                json!({"net": {"DriverOpts": {"a": "b"}}}),
                json!({"net": {"IPAMConfig": null}}),
            ],
        ),
    ]
}

/// Puts one value in.
fn set(body: &mut Value, path: &str, value: Value) {
    let (outer, inner) = path.split_once('.').unwrap_or(("", path));
    let object = if outer.is_empty() { body } else { &mut body[outer] };
    object[inner] = value;
}

/// Damages the text itself, now and then.
fn damaged(text: String, random: &mut Random) -> String {
    match random.below(24) {
        0 => text[..text.len() - 1 - random.below(text.len() / 2)].to_owned(),
        1 => text.replacen("HostConfig", "hostconfig", 1),
        2 => text.replacen('{', r#"{"Image":"busybox:1","#, 1),
        3 => format!("{text}{text}"),
        4 => text.replace("\"Type\"", "\"\\u0054ype\""),
        _ => text,
    }
}

fn mutant(random: &mut Random, fields: &[(&str, Vec<Value>)]) -> String {
    let image = *random.one(&["busybox:1", "busybox:1", "busybox:1", BUSYBOX, "python:3.13"]);
    let mut body = json!({"Image": image, "HostConfig": {}, "NetworkingConfig": {}});
    for _ in 0..random.below(4) {
        let (path, values) = random.one(fields);
        // The first are mostly fine.
        let first = random.below(3) != 0;
        let value = if first { &values[0] } else { random.one(values) };
        set(&mut body, path, value.clone());
    }
    damaged(body.to_string(), random)
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
    let (view, fields) = (view(), fields());
    let mut random = Random(0x5eed_5eed_5eed);
    let (mut accepted, mut refused, mut malformed) = (0, 0, 0);
    for _ in 0..MUTANTS {
        let body = mutant(&mut random, &fields);
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
        format!("{MUTANTS} mutants: {accepted} accepted, {refused} refused, {malformed} malformed");
    println!("{shares}"); // with --nocapture
    assert!(accepted * 5 >= MUTANTS, "{shares}");
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
    for _ in 0..MUTANTS {
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
