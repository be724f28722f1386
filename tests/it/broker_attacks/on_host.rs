//! Containers that stand on the host with more than a job's rights: what is asked for in `HostConfig`.

use super::attack::{Attack, IMAGE, MADE, attack};

/// Container creations: what stands in `HostConfig`.
pub(super) const ON_HOST: &[(&str, &str)] = &[
    ("32 bind of the root", r#"{"Binds":["/:/h"]}"#),
    ("32 bind of the socket", r#"{"Binds":["/var/run/docker.sock:/s"]}"#),
    ("34 mount of type bind", r#"{"Mounts":[{"Type":"bind","Source":"/","Target":"/h"}]}"#),
    (
        "35 volume with a driver's bind",
        r#"{"Mounts":[{"Type":"volume","Source":"{x}","Target":"/h","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/"}}}}]}"#,
    ),
    ("91 another job's volume", r#"{"Binds":["{vol}:/h"]}"#),
    ("91 another job's volumes", r#"{"VolumesFrom":["{N}"]}"#),
    ("31 privileged", r#"{"Privileged":true}"#),
    ("1 privileged in lower case", r#"{"privileged":true}"#),
    ("7 privileged escaped", r#"{"\u0050rivileged":true}"#),
    ("50 host's processes", r#"{"PidMode":"host"}"#),
    ("92 another job's processes", r#"{"PidMode":"container:{C}"}"#),
    ("52 host's memory", r#"{"IpcMode":"host"}"#),
    ("52 host's name", r#"{"UTSMode":"host"}"#),
    ("51 host's network", r#"{"NetworkMode":"host"}"#),
    ("92 another job's network namespace", r#"{"NetworkMode":"container:{C}"}"#),
    ("94 another job's network", r#"{"NetworkMode":"{net}"}"#),
    ("53 root cgroup", r#"{"CgroupParent":"/"}"#),
    ("53 cgroup by dots", r#"{"CgroupParent":"/../../x"}"#),
    ("46 no seccomp", r#"{"SecurityOpt":["seccomp=unconfined"]}"#),
    ("47 no apparmor", r#"{"SecurityOpt":["apparmor=unconfined"]}"#),
    ("48 proc unmasked", r#"{"MaskedPaths":[],"ReadonlyPaths":[]}"#),
    ("49 kernel's settings", r#"{"Sysctls":{"net.ipv4.ip_forward":"1"}}"#),
    ("42 capabilities", r#"{"CapAdd":["ALL"]}"#),
    (
        "42 device",
        r#"{"Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/d","CgroupPermissions":"rwm"}]}"#,
    ),
    ("43 device rules", r#"{"DeviceCgroupRules":["a *:* rwm"]}"#),
    ("58 restarts for ever", r#"{"RestartPolicy":{"Name":"always"}}"#),
    (
        "59 port of the host",
        r#"{"PortBindings":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"18080"}]}}"#,
    ),
    ("legacy links", r#"{"Links":["{N}:v"]}"#),
    (
        "log to an address",
        r#"{"LogConfig":{"Type":"fluentd","Config":{"fluentd-address":"127.0.0.1:1","fluentd-async":"true"}}}"#,
    ),
    ("80 gateway of the host", r#"{"ExtraHosts":["h:host-gateway"]}"#),
    ("raised limits", r#"{"Ulimits":[{"Name":"core","Soft":-1,"Hard":-1}]}"#),
    ("44 every GPU", r#"{"DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}]}"#),
    ("55 another runtime", r#"{"Runtime":"io.containerd.runc.v2"}"#),
    ("56 never killed for memory", r#"{"OomScoreAdj":-1000}"#),
    ("92 another job's memory", r#"{"IpcMode":"container:{C}"}"#),
    ("swap for ever", r#"{"OomKillDisable":true}"#),
    ("groups of the host", r#"{"GroupAdd":["0"]}"#),
];

/// A creation with this `HostConfig`.
pub(super) fn creation(name: &'static str, host: &'static str) -> Attack {
    let body = format!("{{\"Image\":\"{IMAGE}\",\"Cmd\":[\"true\"],\"HostConfig\":{host}}}");
    attack(name, ("POST", "/containers/create", Box::leak(body.into_boxed_str())), MADE)
}
