//! What must never pass: the requests of the attack list, and their like. Each is told from its cause: the
//! rule that refuses it is written beside it.

use crate::broker::policy::Decision;
use crate::broker::request::Method::{self, Get, Post, Put};
use crate::broker::stand_in::{SECRET, WEB, ask, refused};

/// Method, target, body, status and rule.
pub(super) type Case<'a> = (Method, &'a str, &'a str, u16, &'a str);

pub(super) fn check(cases: &[Case<'_>]) {
    for (method, target, body, status, rule) in cases {
        let refusal = refused(*method, target, body);
        let told = (refusal.status, refusal.rule);
        assert_eq!(told, (*status, *rule), "{target} {body}: {}", refusal.message);
    }
}

/// A create with this in its body.
pub(super) fn create(body: &str) -> (u16, &'static str) {
    let body = format!(r#"{{"Image":"busybox:1",{body}}}"#);
    let refusal = refused(Post, "/containers/create", &body);
    (refusal.status, refusal.rule)
}

#[test]
fn json_with_two_readings() {
    for (body, status, rule) in [
        (r#""HostConfig":{"privileged":true}"#, 403, "field"),
        (r#""HostConfig":{},"hostconfig":{"Privileged":true}"#, 403, "field"),
        (r#""HostConfig":{"Privileged":true},"HostConfig":{}"#, 400, "json"),
        (r#""HoſtConfig":{"Privileged":true}"#, 403, "field"),
        (r#""Ho\u017ftConfig":{"Privileged":true}"#, 403, "field"),
        (r#""HostConfig":{"\u0050rivileged":true}"#, 403, "privileged"),
        (r#""Nonsense":1"#, 403, "field"),
        (r#""HostConfig":{"Nonsense":[]}"#, 403, "field"),
        (r#""HostConfig":[]"#, 400, "type"),
        (r#""HostConfig":"x""#, 400, "type"),
        (r#""Tty":"yes""#, 400, "type"),
        (r#""Cmd":[1]"#, 400, "type"),
        (r#""Labels":{"a":1}"#, 400, "type"),
        (r#""Labels":{"a":"1","a":"2"}"#, 400, "json"),
    ] {
        assert_eq!(create(body), (status, rule), "{body}");
    }
    let deep = format!(r#"{{"Image":"busybox:1","Labels":{}1{}}}"#, "[".repeat(20), "]".repeat(20));
    check(&[
        (Post, "/containers/create", r#"{"Image":"busybox:1"}{"HostConfig":{}}"#, 400, "json"),
        (Post, "/containers/create", "", 400, "json"),
        (Post, "/containers/create", "[]", 400, "type"),
        (Post, "/containers/create", &deep, 400, "json"),
        (Post, "/containers/create", "{}", 400, "field"),
    ]);
}

#[test]
fn targets_with_two_readings() {
    check(&[
        (Post, "/v1.41/%63ontainers/create", "", 400, "path"),
        (Post, "/v1.41/containers%2fcreate", "", 400, "path"),
        (Post, "/v1.41/containers/x/../create", "", 400, "path"),
        (Post, "/v1.41//containers/create", "", 400, "path"),
        (Post, "/v1.41/containers/./create", "", 400, "path"),
        (Get, "/v1.41/containers/json/", "", 400, "path"),
        (Get, "/v1.41/images/..%2f..%2fcontainers%2fjson/json", "", 400, "path"),
        (Get, "/v1.41/images/a%252fb/json", "", 400, "path"),
        (Post, "/v1.12/containers/create", "", 400, "version"),
        (Post, "/v01.41/containers/create", "", 400, "version"),
        (Post, "/v1.410/containers/create", "", 400, "version"),
        (Post, "/v1.041/containers/create", "", 400, "version"),
        (Get, "/v1.41", "", 400, "target"),
        (Post, "http://evil/v1.41/containers/create", "", 400, "target"),
        (Get, "*", "", 400, "target"),
        (Get, "/containers/json?all=1&all=0", "", 400, "query"),
        (Get, "/containers/json?al%6C=1&all=0", "", 400, "query"),
        (Get, "/containers/json?all=1;limit=1", "", 400, "query"),
        (Get, "/containers/json?filters=%ff", "", 400, "query"),
        (Get, "/containers/json?filters=%00", "", 400, "query"),
        (Get, "/containers/json?nonsense=1", "", 403, "query"),
        (Get, "/containers/json?filters=[]", "", 400, "filters"),
        (Get, "/containers/json?filters={%22x%22:[%221%22]}", "", 403, "filters"),
    ]);
    let form = crate::broker::request::Head {
        method: Post,
        target: "/containers/prune".to_owned(),
        content_type: Some("application/x-www-form-urlencoded".to_owned()),
        has_body: true,
    };
    assert_eq!(crate::broker::request::route(&form).unwrap_err().status, 400);
    let create = crate::broker::request::Head { target: "/containers/create".to_owned(), ..form };
    assert_eq!(crate::broker::request::route(&create).unwrap_err().status, 415);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_host() {
    for (host, rule) in [
        (r#""Privileged":true"#, "privileged"),
        (r#""Binds":["/:/h"]"#, "binds"),
        (r#""Binds":["/builds/../etc:/h"]"#, "binds"),
        (r#""Binds":["/buildsx:/h"]"#, "binds"),
        (r#""Binds":["/var/run/docker.sock:/var/run/docker.sock"]"#, "binds"),
        (r#""Binds":["./x:/h"]"#, "binds"),
        (r#""Binds":["~:/h"]"#, "binds"),
        (r#""Binds":["..:/h"]"#, "binds"),
        (r#""Binds":["data:/h:rshared"]"#, "mounts"),
        (r#""Binds":["data:/proc/sys"]"#, "mounts"),
        (r#""Binds":["data:/h/../proc"]"#, "mounts"),
        (r#""Binds":["data:/"]"#, "mounts"),
        (r#""Binds":["data:/.longshore/bin"]"#, "mounts"),
        (r#""Mounts":[{"Type":"bind","Source":"/","Target":"/h"}]"#, "binds"),
        (r#""Mounts":[{"Type":"npipe","Source":"x","Target":"/h"}]"#, "mounts"),
        (
            r#""Mounts":[{"Type":"volume","Target":"/h","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/"}}}}]"#,
            "volumes",
        ),
        (
            r#""Mounts":[{"Type":"tmpfs","Target":"/h","TmpfsOptions":{"Options":[["suid"]]}}]"#,
            "mounts",
        ),
        (r#""Tmpfs":{"/h":"suid"}"#, "mounts"),
        (r#""Tmpfs":{"/h":"dev"}"#, "mounts"),
        (r#""VolumeDriver":"nfs""#, "volumes"),
        (r#""Devices":[{"PathOnHost":"/dev/vda"}]"#, "devices"),
        (r#""DeviceCgroupRules":["b *:* rwm"]"#, "devices"),
        (r#""DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}]"#, "devices"),
        (r#""CapAdd":["ALL"]"#, "capabilities"),
        (r#""CapAdd":["SYS_ADMIN"]"#, "capabilities"),
        (r#""CapAdd":["cap_net_raw"]"#, "capabilities"),
        (r#""SecurityOpt":["seccomp=unconfined"]"#, "security"),
        (r#""SecurityOpt":["apparmor=unconfined"]"#, "security"),
        (r#""SecurityOpt":["no-new-privileges:false"]"#, "security"),
        (r#""SecurityOpt":["systempaths=unconfined"]"#, "security"),
        (r#""Sysctls":{"kernel.msgmax":"1"}"#, "security"),
        (r#""Sysctls":{"net.ipv4.ip_forward":"1"}"#, "security"),
        (r#""PidMode":"host""#, "namespace"),
        (r#""IpcMode":"host""#, "namespace"),
        (r#""UTSMode":"host""#, "namespace"),
        (r#""UsernsMode":"host""#, "namespace"),
        (r#""CgroupnsMode":"host""#, "namespace"),
        (r#""CgroupParent":"/""#, "namespace"),
        (r#""CgroupParent":"/../../x""#, "namespace"),
        (r#""Runtime":"io.containerd.runc.v1""#, "security"),
        (r#""GroupAdd":["0"]"#, "security"),
        (r#""Annotations":{"run.oci.handler":"krun"}"#, "security"),
        (r#""OomScoreAdj":-1000"#, "limits"),
        (r#""OomKillDisable":true"#, "limits"),
        (r#""Ulimits":[{"Name":"nofile","Soft":1,"Hard":9999999}]"#, "limits"),
        (r#""Ulimits":[{"Name":"nice","Soft":1,"Hard":1}]"#, "limits"),
        (r#""MemorySwappiness":60"#, "limits"),
        (r#""StorageOpt":{"size":"1G"}"#, "limits"),
        (r#""CpusetCpus":"0""#, "limits"),
        (r#""RestartPolicy":{"Name":"always"}"#, "restart"),
        (r#""LogConfig":{"Type":"fluentd","Config":{}}"#, "log"),
        (r#""LogConfig":{"Type":"local","Config":{"fluentd-address":"x"}}"#, "field"),
        (r#""PortBindings":{"22/tcp":[{"HostIp":"0.0.0.0","HostPort":"22"}]}"#, "publish"),
        (r#""PortBindings":{"80/tcp":[{"HostIp":"10.0.0.1","HostPort":"8080"}]}"#, "publish"),
        (r#""NetworkMode":"host""#, "network"),
        (r#""Links":["web:web"]"#, "network"),
        (r#""Dns":["10.0.0.1"]"#, "network"),
        (r#""ExtraHosts":["h:host-gateway"]"#, "extra-hosts"),
        (r#""ExtraHosts":["h:169.254.169.254"]"#, "extra-hosts"),
        (r#""ExtraHosts":["h=169.254.169.254"]"#, "extra-hosts"),
        (r#""ExtraHosts":["h:::ffff:169.254.169.254"]"#, "extra-hosts"),
        (r#""ExtraHosts":["h:[fe80::1]"]"#, "extra-hosts"),
        (r#""ExtraHosts":["h:::ffff:172.20.0.1"]"#, "extra-hosts"),
        (r#""MaskedPaths":["/x"]"#, "security"),
        (r#""ReadonlyPaths":["/x"]"#, "security"),
    ] {
        assert_eq!(create(&format!(r#""HostConfig":{{{host}}}"#)), (403, rule), "{host}");
    }
}

#[test]
fn empty_lists_that_take_a_protection_away() {
    // `[]` is not `null` here: the daemon takes an empty list for "hide nothing".
    for field in ["MaskedPaths", "ReadonlyPaths"] {
        let body = format!(r#"{{"Image":"busybox:1","HostConfig":{{"{field}":[]}}}}"#);
        match ask(Post, "/containers/create", &body) {
            Decision::Allow(outgoing) => {
                assert!(!format!("{:?}", outgoing.body).contains(field), "{body}");
            }
            other => assert!(matches!(other, Decision::Refuse(_))),
        }
    }
}

#[test]
fn other_ways_to_the_host() {
    let volume = |options: &str| format!(r#"{{"Name":"v","DriverOpts":{options}}}"#);
    check(&[
        (
            Post,
            "/volumes/create",
            &volume(r#"{"type":"ext4","device":"/dev/vda1"}"#),
            403,
            "volumes",
        ),
        (Post, "/volumes/create", &volume(r#"{"type":"proc","device":"proc"}"#), 403, "volumes"),
        (Post, "/volumes/create", &volume(r#"{"type":"nfs","o":"addr=10.0.0.1"}"#), 403, "volumes"),
        (Post, "/volumes/create", r#"{"Name":"v","Driver":"x"}"#, 403, "volumes"),
        (Post, "/volumes/create", r#"{"Name":"../v"}"#, 400, "name"),
        (Post, "/networks/create", r#"{"Name":"n","Driver":"macvlan"}"#, 403, "network"),
        (
            Post,
            "/networks/create",
            r#"{"Name":"n","IPAM":{"Config":[{"Subnet":"169.254.169.0/24"}]}}"#,
            403,
            "network",
        ),
        (
            Post,
            "/networks/create",
            r#"{"Name":"n","Options":{"com.docker.network.bridge.name":"docker0"}}"#,
            403,
            "field",
        ),
        (Post, "/networks/create", r#"{"Name":"n","Ingress":true}"#, 403, "network"),
        (Post, "/networks/create", r#"{"Name":"bridge"}"#, 403, "network"),
        (Post, &format!("/containers/{WEB}/exec"), r#"{"Privileged":true}"#, 403, "privileged"),
        (Post, "/containers/web/update", r#"{"RestartPolicy":{"Name":"always"}}"#, 403, "restart"),
        (Post, "/containers/web/update", r#"{"CgroupParent":"/"}"#, 403, "update"),
        (Post, "/containers/web/start", r#"{"Binds":["/:/h"]}"#, 400, "body"),
        (Post, "/v1.20/containers/web/copy", "", 400, "version"),
        (Post, "/containers/web/copy", "", 403, "endpoint"),
        (Get, "/containers/web/attach/ws", "", 403, "endpoint"),
        (Post, "/swarm/init", "", 403, "endpoint"),
        (Post, "/services/create", "", 403, "endpoint"),
        (Post, "/grpc", "", 403, "endpoint"),
        (Post, "/session", "", 403, "endpoint"),
        (Get, "/system/df", "", 403, "endpoint"),
        (Get, "/plugins", "", 403, "endpoint"),
        (Get, "/debug/pprof/heap", "", 403, "endpoint"),
        (Get, "/libpod/containers/json", "", 403, "endpoint"),
        (Post, "/images/load", "", 403, "endpoint"),
        (Get, "/images/search?term=x", "", 403, "endpoint"),
        (Put, "/containers/web/archive?path=/proc", "", 403, "archive"),
        (Get, "/containers/web/archive?path=/x/../sys/fs", "", 403, "archive"),
        (Get, "/containers/web/top?ps_args=-o%20$(id)", "", 403, "top"),
        (Get, "/containers/web/top?ps_args=-o%20args,pid%20-u%20root", "", 403, "top"),
        (Post, "/images/create?fromSrc=http://127.0.0.1/x", "", 403, "import"),
        (Post, "/images/create?fromImage=busybox&fromSrc=-", "", 403, "import"),
        (Post, "/images/create?fromSrc=-&repo=x", "an archive", 403, "import"),
        (Post, "/images/create?fromImage=evil.example/x&tag=1", "", 403, "registry"),
        (Post, "/auth", r#"{"serveraddress":"http://127.0.0.1:9"}"#, 403, "registry"),
    ]);
}

#[test]
fn extra_hosts_that_are_none() {
    let long = "a".repeat(254);
    for host in [
        "",
        "h",
        "h:",
        "h:name",
        ":10.0.0.1",
        "h h:10.0.0.1",
        "h:10.0.0.1 x",
        "h:[10.0.0.1",
        &format!("{long}:10.0.0.1"),
    ] {
        let body = format!(r#""HostConfig":{{"ExtraHosts":["{host}"]}}"#);
        assert_eq!(create(&body), (400, "extra-hosts"), "{host}");
    }
    for host in ["h", "h:name", "h%20h:10.0.0.1", "h:10.0.0.1%0a10.0.0.2", "h:10.0.0.1,i:10.0.0.2"]
    {
        assert_eq!(refused(Post, &format!("/build?extrahosts={host}"), "").status, 400, "{host}");
    }
}

#[test]
fn builds() {
    for (query, rule) in [
        ("remote=http://127.0.0.1/x", "build-remote"),
        ("networkmode=host", "network"),
        ("networkmode=container:victim", "network"),
        ("cgroupparent=/", "build"),
        ("extrahosts=h:host-gateway", "extra-hosts"),
        ("extrahosts=a:10.0.0.1&extrahosts=h:host-gateway", "extra-hosts"),
        ("extrahosts=h:169.254.169.254", "extra-hosts"),
        ("extrahosts=h:172.20.0.1", "extra-hosts"),
        ("session=x", "build-session"),
        ("version=2", "build-session"),
        ("outputs=[{}]", "build-session"),
        ("securityopt=[%22seccomp=unconfined%22]", "build"),
        ("ulimits=[{}]", "build"),
        ("t=registry.example/team/other:1", "image-name"),
        ("t=registry.example/team/app-two:1", "image-name"),
        ("t=docker.example/library/busybox:1", "image-name"),
        ("t=app&t=other.example/x", "image-name"),
        ("labels={%22longshore.job%22:%22x%22}", "labels"),
        ("nonsense=1", "query"),
    ] {
        assert_eq!(refused(Post, &format!("/build?{query}"), "").rule, rule, "{query}");
    }
    let secret = format!(r#"buildargs={{"A":"x{SECRET}"}}"#).replace('"', "%22");
    for tag in
        ["", "&t=app:1", "&t=registry.example/team/app/sub:1", "&t=registry.example/team/app:1&t=x"]
    {
        assert_eq!(refused(Post, &format!("/build?{secret}{tag}"), "").rule, "build-arg-secret");
    }
    assert_eq!(refused(Post, "/build?networkmode=victimnet", "").status, 404);
    assert_eq!(refused(Post, "/build?dockerfile=../x", "").status, 400);
}
