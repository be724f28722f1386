//! The daemon itself: volumes and networks that reach the host, the control of it, and what it would fetch.

use super::attack::{Attack, DONE, MADE, attack};

pub(super) const DAEMON: &[Attack] = &[
    attack("107 disk use", ("GET", "/system/df", ""), DONE),
    attack(
        "65 swarm",
        ("POST", "/swarm/init", r#"{"ListenAddr":"127.0.0.1:2377","AdvertiseAddr":"127.0.0.1"}"#),
        DONE,
    ),
    attack(
        "65 a service of the swarm",
        (
            "POST",
            "/services/create",
            r#"{"Name":"{x}","TaskTemplate":{"ContainerSpec":{"Image":"longshore-test/busybox:1","Mounts":[{"Type":"bind","Source":"/","Target":"/h"}]}},"Mode":{"Replicated":{"Replicas":0}}}"#,
        ),
        MADE,
    ),
    attack(
        "37 volume of a disk's file system",
        (
            "POST",
            "/volumes/create",
            r#"{"Name":"{x}a","Driver":"local","DriverOpts":{"type":"ext4","device":"/dev/vda"}}"#,
        ),
        MADE,
    ),
    attack(
        "38 volume of proc",
        (
            "POST",
            "/volumes/create",
            r#"{"Name":"{x}b","DriverOpts":{"type":"proc","device":"proc"}}"#,
        ),
        MADE,
    ),
    attack(
        "38 volume that is a bind",
        (
            "POST",
            "/volumes/create",
            r#"{"Name":"{x}c","DriverOpts":{"type":"none","o":"bind","device":"/"}}"#,
        ),
        MADE,
    ),
    attack(
        "79 network on a chosen subnet",
        (
            "POST",
            "/networks/create",
            r#"{"Name":"{x}","IPAM":{"Config":[{"Subnet":"169.254.169.0/24"}]}}"#,
        ),
        MADE,
    ),
    attack(
        "73 registry of the host's loopback",
        ("POST", "/images/create?fromSrc=http://127.0.0.1:1/x", ""),
        &[200, 400, 500],
    ),
    attack(
        "login at a chosen server",
        ("POST", "/auth", r#"{"username":"a","password":"b","serveraddress":"127.0.0.1:1"}"#),
        &[500, 401],
    ),
    attack(
        "38 volume of cgroups",
        (
            "POST",
            "/volumes/create",
            r#"{"Name":"{x}d","DriverOpts":{"type":"cgroup","device":"cgroup","o":"memory"}}"#,
        ),
        MADE,
    ),
    attack(
        "40 volume of a host's NFS",
        (
            "POST",
            "/volumes/create",
            r#"{"Name":"{x}e","DriverOpts":{"type":"nfs","device":":/","o":"addr=127.0.0.1"}}"#,
        ),
        MADE,
    ),
    attack(
        "40 volume of a host's CIFS",
        (
            "POST",
            "/volumes/create",
            r#"{"Name":"{x}f","DriverOpts":{"type":"cifs","device":"//127.0.0.1/c","o":"user=a"}}"#,
        ),
        MADE,
    ),
    attack(
        "61 privileged exec",
        ("POST", "/containers/{own}/exec", r#"{"Cmd":["id"],"Privileged":true}"#),
        MADE,
    ),
    attack(
        "62 own container restarts for ever",
        ("POST", "/containers/{own}/update", r#"{"RestartPolicy":{"Name":"always"}}"#),
        DONE,
    ),
    attack(
        "64 copy of 1.20",
        ("POST", "/v1.20/containers/{own}/copy", r#"{"Resource":"/bin/sh"}"#),
        DONE,
    ),
    attack(
        "64 start with a body of 1.21, own",
        ("POST", "/v1.21/containers/{own}/start", r#"{"Binds":["/:/h"]}"#),
        DONE,
    ),
    attack(
        "83 processes of the host by another column's name",
        ("GET", "/containers/{own}/top?ps_args=-eorss%3DPID,args", ""),
        DONE,
    ),
    attack(
        "79 bridge of a chosen name",
        (
            "POST",
            "/networks/create",
            r#"{"Name":"{x}","Options":{"com.docker.network.bridge.name":"br-{x}"}}"#,
        ),
        MADE,
    ),
    attack(
        "macvlan",
        (
            "POST",
            "/networks/create",
            r#"{"Name":"{x}","Driver":"macvlan","Options":{"parent":"eth0"}}"#,
        ),
        MADE,
    ),
    attack("107 counts of the host", ("GET", "/info", ""), DONE),
    attack("106 build cache pruned", ("POST", "/build/prune", ""), DONE),
    attack("65 plugins", ("GET", "/plugins", ""), DONE),
    attack("65 nodes of the swarm", ("GET", "/nodes", ""), DONE),
    attack("65 secrets of the swarm", ("GET", "/secrets", ""), DONE),
    attack("67 session", ("POST", "/session", ""), &[400, 101, 500]),
    attack(
        "71 built under the root cgroup",
        ("POST", "/build?cgroupparent=/&remote=http://127.0.0.1:1/x", ""),
        &[200, 400, 500],
    ),
    attack(
        "73 built from the host's loopback",
        ("POST", "/build?remote=http://127.0.0.1:1/x", ""),
        &[200, 400, 500],
    ),
];
