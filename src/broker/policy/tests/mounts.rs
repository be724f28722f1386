//! Mounts as they are bounded and read, and the rights that a container is left.

use serde_json::{Value, json};

use crate::broker::policy::Decision;
use crate::broker::request::Method::{Get, Post};
use crate::broker::stand_in::{allowed, ask_of, body, refused, view};

/// A creation with this `HostConfig`.
fn with(host: &Value) -> String {
    json!({"Image": "busybox:1", "HostConfig": host}).to_string()
}

/// The `HostConfig` that goes to the daemon.
fn host(asked: &Value) -> Value {
    body(&allowed(Post, "/containers/create", &with(asked)))["HostConfig"].clone()
}

/// The rule by which it does not.
fn rule(asked: &Value) -> &'static str {
    refused(Post, "/containers/create", &with(asked)).rule
}

fn tmpfs(count: usize) -> Value {
    (0..count).map(|number| (format!("/t{number}"), json!(""))).collect()
}

#[test]
fn a_container_has_so_many_mounts_of_all_kinds() {
    assert_eq!(host(&json!({"Tmpfs": tmpfs(64)}))["Tmpfs"].as_object().unwrap().len(), 64);
    assert_eq!(rule(&json!({"Tmpfs": tmpfs(65)})), "quota");
    assert_eq!(rule(&json!({"Tmpfs": tmpfs(64), "VolumesFrom": ["web"]})), "quota");
    assert_eq!(rule(&json!({"Tmpfs": tmpfs(64), "Binds": ["data:/d"]})), "quota");
    let volumes =
        json!({"Image": "busybox:1", "Volumes": {"/v": {}}, "HostConfig": {"Tmpfs": tmpfs(64)}});
    assert_eq!(refused(Post, "/containers/create", &volumes.to_string()).rule, "quota");
}

#[test]
fn volumes_of_one_creation_count_together() {
    // One is there, and three there may be.
    let binds = |names: &[&str]| {
        let all: Vec<String> = names.iter().map(|name| format!("{name}:/{name}")).collect();
        json!({"Binds": all})
    };
    assert_eq!(host(&binds(&["data", "a", "b"]))["Mounts"].as_array().unwrap().len(), 3);
    assert_eq!(rule(&binds(&["data", "a", "b", "c"])), "quota");
    let anonymous = host(&json!({"Binds": ["/cache"]}));
    assert_eq!(anonymous["Mounts"][0]["Target"], "/cache");
}

#[test]
fn a_tmpfs_is_bounded_and_gives_nobody_rights() {
    let options = |options: Value| {
        let mount = json!({"Type": "tmpfs", "Target": "/t", "TmpfsOptions": options});
        host(&json!({"Mounts": [mount]}))["Mounts"][0]["TmpfsOptions"].clone()
    };
    assert_eq!(options(json!({})), json!({"SizeBytes": 64 << 20, "Mode": 0o1777}));
    let asked = json!({"SizeBytes": 1, "Mode": 0o6755});
    assert_eq!(options(asked), json!({"SizeBytes": 1, "Mode": 0o755}));
    assert_eq!(
        host(&json!({"Tmpfs": {"/t": "size=64m,mode=755"}}))["Tmpfs"]["/t"],
        "size=64m,mode=755"
    );
    for odd in ["size=", "size=m", "size=1x", "mode=7a", "suid", "size=1,dev"] {
        assert_eq!(rule(&json!({"Tmpfs": {"/t": odd}})), "mounts", "{odd}");
    }
}

#[test]
fn a_part_of_a_volume_is_mounted_where_the_daemon_can() {
    let asked = |subpath: &str| {
        let options = json!({"Subpath": subpath});
        with(
            &json!({"Mounts": [{"Type": "volume", "Source": "data", "Target": "/d", "VolumeOptions": options}]}),
        )
    };
    for (minor, subpath, passes) in [
        (44, "a", false),
        (45, "a/b", true),
        (46, "a", true),
        (46, "../a", false),
        (46, "/a", false),
    ] {
        let mut view = view();
        view.daemon.api_minor = minor;
        let decision = ask_of(&view, Post, "/containers/create", &asked(subpath));
        assert_eq!(matches!(decision, Decision::Allow(_)), passes, "{minor} {subpath}");
    }
}

#[test]
fn a_link_needs_a_root_that_can_be_written() {
    let bind = |read_only: bool, target: &str| json!({"Binds": [format!("/builds/team/app:{target}")], "ReadonlyRootfs": read_only});
    assert_eq!(rule(&bind(true, "/src")), "workspace");
    assert_eq!(host(&bind(false, "/src"))["ReadonlyRootfs"], false);
    assert_eq!(host(&bind(true, "/builds/team/app"))["ReadonlyRootfs"], true);
}

#[test]
fn capabilities_only_go() {
    let long = "A".repeat(24);
    let dropped = host(&json!({"CapDrop": ["all", "cap_chown", "evil name", long, &long[1..]]}));
    let expected =
        json!([&long[1..], "ALL", "AUDIT_WRITE", "CHOWN", "MKNOD", "NET_RAW", "SYS_CHROOT"]);
    assert_eq!(dropped["CapDrop"], expected);
    assert_eq!(host(&json!({"CapAdd": ["cap_chown", "SETUID"]}))["CapAdd"], Value::Null);
    for (asked, shown) in [
        ("sys_admin", "(SYS_ADMIN)"),
        (&long[1..], "(AAAAAAAAAAAAAAAAAAAAAAA)"),
        (&long, "(one of them)"),
        ("evil name", "(one of them)"),
    ] {
        let refusal = refused(Post, "/containers/create", &with(&json!({"CapAdd": [asked]})));
        assert!(refusal.message.contains(shown), "{}", refusal.message);
    }
}

#[test]
fn the_operators_profile_holds_for_each_container() {
    let mut view = view();
    view.security = vec!["seccomp={}".to_owned(), "no-new-privileges".to_owned()];
    let asked = with(&json!({"SecurityOpt": ["no-new-privileges:true"]}));
    let Decision::Allow(created) = ask_of(&view, Post, "/containers/create", &asked) else {
        panic!("refused")
    };
    let expected = json!(["seccomp={}", "no-new-privileges"]);
    assert_eq!(body(&created)["HostConfig"]["SecurityOpt"], expected);
}

#[test]
fn a_filter_that_nobody_knows_is_named_where_it_is_short_and_plain() {
    let long = "k".repeat(24);
    for (key, shown) in [
        ("nonsense", "nonsense"),
        (&long[1..], &long[1..]),
        (&long, "of that name"),
        ("sch%C3%B6n", "of that name"),
    ] {
        let target = format!("/containers/json?filters={{%22{key}%22:[%22x%22]}}");
        let message = refused(Get, &target, "").message;
        assert!(message.contains(&format!("filter {shown} ")), "{message}");
    }
    let names = |pattern: &str| {
        let target = format!("/containers/json?filters={{%22name%22:[%22{pattern}%22]}}");
        matches!(ask_of(&view(), Get, &target, ""), Decision::Allow(_))
    };
    assert_eq!(["eb", "/web", "/eb", "we$", "^web$"].map(names), [true, true, false, false, true]);
}
