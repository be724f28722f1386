//! Attacks through a brokered socket on a daemon of the test's own: each is shown to work on the bare socket
//! first, then refused by the broker, with the other job's objects as they were and not one of its canaries
//! in what the attacker got.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::brokered::Brokered;
use crate::support::own_daemon::OwnDaemon;

/// Stands in all that the other job has.
const CANARY: &str = "canary-9b1f";

const IMAGE: &str = "longshore-test/busybox:1";

/// One attack: name, what is sent, statuses of the bare daemon that show it to work.
struct Attack {
    name: &'static str,
    method: &'static str,
    target: &'static str,
    body: &'static str,
    works: &'static [u16],
}

const fn attack(
    name: &'static str,
    request: (&'static str, &'static str, &'static str),
    works: &'static [u16],
) -> Attack {
    let (method, target, body) = request;
    Attack { name, method, target, body, works }
}

/// Another job: a scapegoat, whom the bare socket's attacks may destroy, or a victim, who has to stay.
struct Victim {
    container: String,
    name: String,
    network: String,
    volume: String,
    image: String,
    exec: String,
}

impl Victim {
    fn make(daemon: &OwnDaemon, name: &str) -> Self {
        let docker = |words: &[&str]| daemon.docker(words).trim().to_owned();
        let (network, volume) = (format!("net-{name}"), format!("vol-{name}"));
        docker(&["network", "create", &network]);
        docker(&["volume", "create", &volume]);
        let image = format!("other/{name}:latest");
        let commit = format!("LABEL word={CANARY}");
        let env = format!("SECRET={CANARY}");
        let script = format!("echo {CANARY}; echo {CANARY} >/tmp/file; exec sleep 3600");
        let container = docker(&[
            "run",
            "-d",
            "--name",
            name,
            "--label",
            "longshore.job=victim",
            "-e",
            &env,
            "-v",
            &format!("{volume}:/store"),
            "--network",
            &network,
            IMAGE,
            "sh",
            "-c",
            &script,
        ]);
        docker(&["commit", "--change", &commit, name, &image]);
        let body = r#"{"Cmd":["env"],"AttachStdout":true}"#;
        let path = format!("/containers/{container}/exec");
        let made = send(daemon.socket(), &request("POST", &path, body));
        let exec: Value = serde_json::from_str(body_of(&made)).unwrap();
        let exec = exec["Id"].as_str().unwrap().to_owned();
        Self { container, name: name.to_owned(), network, volume, image, exec }
    }

    /// Puts its names into a request.
    fn fill(&self, text: &str, unique: usize) -> String {
        text.replace("{C}", &self.container)
            .replace("{c}", &self.container[..12])
            .replace("{N}", &self.name)
            .replace("{net}", &self.network)
            .replace("{vol}", &self.volume)
            .replace("{img}", &self.image)
            .replace("{exec}", &self.exec)
            .replace("{x}", &format!("x{unique}"))
    }

    /// All that the daemon tells of it and that no time changes.
    fn state(&self, daemon: &OwnDaemon) -> String {
        let mut all = String::new();
        let look = [
            format!("/containers/{}/json", self.container),
            format!("/networks/{}", self.network),
            format!("/volumes/{}", self.volume),
            format!("/images/{}/json", self.image),
        ];
        for path in look {
            let mut told: Value =
                serde_json::from_str(body_of(&send(daemon.socket(), &request("GET", &path, ""))))
                    .unwrap();
            // What a look of its own changes.
            if let Some(fields) = told.as_object_mut() {
                fields.remove("ExecIDs");
            }
            writeln!(all, "{told}").unwrap();
        }
        all
    }
}

/// One request with everything a client sends.
fn request(method: &str, target: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let version = if target.starts_with("/v1.") { "" } else { "/v1.41" };
    format!(
        "{method} {version}{target} HTTP/1.1\r\nHost: docker\r\n{kind}Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn send(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    // A stream that goes on is cut: its head is the answer.
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    // A refused client may be hung up on while it still sends.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The body; of a chunked one, its first chunk.
fn body_of(answer: &str) -> &str {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    if !answer.to_lowercase().contains("transfer-encoding: chunked") {
        return body;
    }
    body.split_once("\r\n").map_or("", |(_, rest)| rest.split("\r\n").next().unwrap_or_default())
}

const MADE: &[u16] = &[201];
const DONE: &[u16] = &[200, 201, 204, 304];

/// Container creations: what stands in `HostConfig`.
const ON_HOST: &[(&str, &str)] = &[
    ("bind of the root", r#"{"Binds":["/:/h"]}"#),
    ("bind of the socket", r#"{"Binds":["/var/run/docker.sock:/s"]}"#),
    ("mount of type bind", r#"{"Mounts":[{"Type":"bind","Source":"/","Target":"/h"}]}"#),
    (
        "volume with a driver's bind",
        r#"{"Mounts":[{"Type":"volume","Source":"{x}","Target":"/h","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/"}}}}]}"#,
    ),
    ("another job's volume", r#"{"Binds":["{vol}:/h"]}"#),
    ("another job's volumes", r#"{"VolumesFrom":["{N}"]}"#),
    ("privileged", r#"{"Privileged":true}"#),
    ("privileged in lower case", r#"{"privileged":true}"#),
    ("privileged escaped", r#"{"\u0050rivileged":true}"#),
    ("host's processes", r#"{"PidMode":"host"}"#),
    ("another job's processes", r#"{"PidMode":"container:{C}"}"#),
    ("another job's memory", r#"{"IpcMode":"host"}"#),
    ("host's name", r#"{"UTSMode":"host"}"#),
    ("host's network", r#"{"NetworkMode":"host"}"#),
    ("another job's network namespace", r#"{"NetworkMode":"container:{C}"}"#),
    ("another job's network", r#"{"NetworkMode":"{net}"}"#),
    ("root cgroup", r#"{"CgroupParent":"/"}"#),
    ("cgroup by dots", r#"{"CgroupParent":"/../../x"}"#),
    ("no seccomp", r#"{"SecurityOpt":["seccomp=unconfined"]}"#),
    ("no apparmor", r#"{"SecurityOpt":["apparmor=unconfined"]}"#),
    ("proc unmasked", r#"{"MaskedPaths":[],"ReadonlyPaths":[]}"#),
    ("kernel's settings", r#"{"Sysctls":{"net.ipv4.ip_forward":"1"}}"#),
    ("capabilities", r#"{"CapAdd":["ALL"]}"#),
    (
        "device",
        r#"{"Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/d","CgroupPermissions":"rwm"}]}"#,
    ),
    ("device rules", r#"{"DeviceCgroupRules":["a *:* rwm"]}"#),
    ("restarts for ever", r#"{"RestartPolicy":{"Name":"always"}}"#),
    (
        "port of the host",
        r#"{"PortBindings":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"18080"}]}}"#,
    ),
    ("legacy links", r#"{"Links":["{N}:v"]}"#),
    (
        "log to an address",
        r#"{"LogConfig":{"Type":"fluentd","Config":{"fluentd-address":"127.0.0.1:1","fluentd-async":"true"}}}"#,
    ),
    ("gateway of the host", r#"{"ExtraHosts":["h:host-gateway"]}"#),
    ("raised limits", r#"{"Ulimits":[{"Name":"core","Soft":-1,"Hard":-1}]}"#),
];

const OTHERS: &[Attack] = &[
    attack("logs", ("GET", "/containers/{C}/logs?stdout=1&stderr=1", ""), DONE),
    attack("inspect by name", ("GET", "/containers/{N}/json", ""), DONE),
    attack("inspect by short id", ("GET", "/containers/{c}/json", ""), DONE),
    attack("top", ("GET", "/containers/{C}/top", ""), DONE),
    attack("changes", ("GET", "/containers/{C}/changes", ""), DONE),
    attack("export", ("GET", "/containers/{C}/export", ""), DONE),
    attack("file", ("GET", "/containers/{C}/archive?path=/tmp/file", ""), DONE),
    attack("stats", ("GET", "/containers/{C}/stats?stream=0", ""), DONE),
    attack("attach", ("POST", "/containers/{C}/attach?stream=1&stdout=1&logs=1", ""), &[101, 200]),
    attack(
        "exec",
        ("POST", "/containers/{C}/exec", r#"{"Cmd":["env"],"AttachStdout":true}"#),
        MADE,
    ),
    attack(
        "another's exec",
        ("POST", "/exec/{exec}/start", r#"{"Detach":false,"Tty":false}"#),
        &[101, 200],
    ),
    attack("another's exec inspected", ("GET", "/exec/{exec}/json", ""), DONE),
    attack("commit", ("POST", "/commit?container={C}&repo=stolen&tag={x}", "{}"), MADE),
    attack("image", ("GET", "/images/{img}/json", ""), DONE),
    attack("history", ("GET", "/images/{img}/history", ""), DONE),
    attack("image saved", ("GET", "/images/{img}/get", ""), DONE),
    attack(
        "image tagged over",
        ("POST", "/images/longshore-test/busybox:1/tag?repo=other/{N}&tag=latest", ""),
        MADE,
    ),
    attack(
        "created from the image",
        ("POST", "/containers/create", r#"{"Image":"{img}","Cmd":["env"]}"#),
        MADE,
    ),
    attack("network", ("GET", "/networks/{net}", ""), DONE),
    attack("volume", ("GET", "/volumes/{vol}", ""), DONE),
    attack(
        "put on a foreign network",
        ("POST", "/networks/bridge/connect", r#"{"Container":"{C}"}"#),
        DONE,
    ),
    attack("pause", ("POST", "/containers/{C}/pause", ""), DONE),
    attack("unpause", ("POST", "/containers/{C}/unpause", ""), DONE),
    attack(
        "update",
        ("POST", "/containers/{C}/update", r#"{"RestartPolicy":{"Name":"always"}}"#),
        DONE,
    ),
    attack("rename", ("POST", "/containers/{C}/rename?name={N}-{x}", ""), DONE),
    attack("kill", ("POST", "/containers/{C}/kill", ""), DONE),
    attack("restart", ("POST", "/containers/{C}/restart?t=0", ""), DONE),
    attack("stop", ("POST", "/containers/{C}/stop?t=0", ""), DONE),
    attack(
        "start with a body of 1.21",
        ("POST", "/v1.21/containers/{C}/start", r#"{"Binds":["/:/h"]}"#),
        DONE,
    ),
    attack(
        "listed by label",
        (
            "GET",
            "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22longshore.job%3Dvictim%22%5D%7D",
            "",
        ),
        DONE,
    ),
    attack("events", ("GET", "/events?since=1&until=2000000000", ""), DONE),
    attack("disk use", ("GET", "/system/df", ""), DONE),
    attack(
        "swarm",
        ("POST", "/swarm/init", r#"{"ListenAddr":"127.0.0.1:2377","AdvertiseAddr":"127.0.0.1"}"#),
        DONE,
    ),
    attack(
        "a service of the swarm",
        (
            "POST",
            "/services/create",
            r#"{"Name":"{x}","TaskTemplate":{"ContainerSpec":{"Image":"longshore-test/busybox:1","Mounts":[{"Type":"bind","Source":"/","Target":"/h"}]}},"Mode":{"Replicated":{"Replicas":0}}}"#,
        ),
        MADE,
    ),
    attack(
        "volume of a disk's file system",
        (
            "POST",
            "/volumes/create",
            r#"{"Name":"{x}a","Driver":"local","DriverOpts":{"type":"ext4","device":"/dev/vda"}}"#,
        ),
        MADE,
    ),
    attack(
        "volume of proc",
        (
            "POST",
            "/volumes/create",
            r#"{"Name":"{x}b","DriverOpts":{"type":"proc","device":"proc"}}"#,
        ),
        MADE,
    ),
    attack(
        "volume that is a bind",
        (
            "POST",
            "/volumes/create",
            r#"{"Name":"{x}c","DriverOpts":{"type":"none","o":"bind","device":"/"}}"#,
        ),
        MADE,
    ),
    attack(
        "network on a chosen subnet",
        (
            "POST",
            "/networks/create",
            r#"{"Name":"{x}","IPAM":{"Config":[{"Subnet":"169.254.169.0/24"}]}}"#,
        ),
        MADE,
    ),
    attack(
        "registry of the host's loopback",
        ("POST", "/images/create?fromSrc=http://127.0.0.1:1/x", ""),
        &[200, 400, 500],
    ),
    attack(
        "login at a chosen server",
        ("POST", "/auth", r#"{"username":"a","password":"b","serveraddress":"127.0.0.1:1"}"#),
        &[500, 401],
    ),
    attack("container removed", ("DELETE", "/containers/{C}?force=1&v=1", ""), DONE),
    attack("containers pruned", ("POST", "/containers/prune", ""), DONE),
    attack("image removed", ("DELETE", "/images/{img}?force=1", ""), DONE),
    attack("network removed", ("DELETE", "/networks/{net}", ""), DONE),
    attack("volume removed", ("DELETE", "/volumes/{vol}?force=1", ""), DONE),
    attack("volumes pruned", ("POST", "/volumes/prune", ""), DONE),
    attack("networks pruned", ("POST", "/networks/prune", ""), DONE),
    attack("images pruned", ("POST", "/images/prune", ""), DONE),
];

/// Attacks whose answer may be a success: what it shows and touches is the job's own. A list or a prune knows
/// nothing of others; a name is one among the job's own objects, which lie under names of their own at the
/// daemon; what is asked for of the kernel's protection is left out or bounded. What was made is looked at.
const HARMLESS: [&str; 15] = [
    "listed by label",
    "events",
    "containers pruned",
    "volumes pruned",
    "networks pruned",
    "images pruned",
    "login at a chosen server",
    "another job's volume",
    "volume",
    "volume removed",
    "image tagged over",
    "created from the image",
    "image removed",
    "proc unmasked",
    "raised limits",
];

/// What must hold for every container that came to be through the socket (note 3.3).
fn assert_confined(daemon: &OwnDaemon, key: &str) {
    let made = daemon.docker(&["ps", "-aq", "--filter", "label=longshore.kind=brokered"]);
    assert!(!made.is_empty());
    for id in made.split_whitespace() {
        let told: Value = serde_json::from_str(&daemon.docker(&["inspect", id])).unwrap();
        let host = &told[0]["HostConfig"];
        let list = |name: &str| host[name].as_array().cloned().unwrap_or_default();
        assert!(list("MaskedPaths").len() > 5 && list("ReadonlyPaths").len() > 3, "{host}");
        assert_eq!(host["Privileged"], false);
        assert_eq!(host["PidMode"], "");
        assert_eq!(list("CapAdd"), Vec::<Value>::new());
        assert!(list("SecurityOpt").contains(&"no-new-privileges".into()), "{host}");
        assert_eq!(host["NetworkMode"], "slot");
        assert_eq!(host["Memory"], 256 << 20, "{host}");
        assert_eq!(host["PidsLimit"], 200, "{host}");
        for limit in list("Ulimits") {
            assert!(limit["Hard"].as_i64().unwrap() >= 0, "{limit}");
        }
        for mount in told[0]["Mounts"].as_array().unwrap() {
            assert_eq!(mount["Type"], "volume", "{mount}");
            let name = mount["Name"].as_str().unwrap();
            assert!(name.starts_with(&format!("longshore-{key}-x-")), "{mount}");
        }
    }
}

/// A daemon with a victim, and a broker in front of it.
struct Scene {
    daemon: OwnDaemon,
    victim: Victim,
    brokered: Brokered,
}

impl Scene {
    fn set(daemon: OwnDaemon) -> Self {
        let victim = Victim::make(&daemon, "victim");
        daemon.docker(&["network", "create", "slot"]);
        let brokered = Brokered::start(daemon.socket(), "slot");
        Self { daemon, victim, brokered }
    }

    /// Sends it to the broker; what went wrong, if it was let through or told too much.
    fn is_refused(&self, attack: &Attack, number: usize) -> Option<String> {
        let fill = |text| self.victim.fill(text, number);
        let sent = request(attack.method, &fill(attack.target), &fill(attack.body));
        let answer = send(&self.brokered.socket(), &sent);
        let status = status(&answer);
        let harmless = HARMLESS.contains(&attack.name) && (200..300).contains(&status);
        let refused = (400..500).contains(&status) || harmless;
        // What the attacker asked for by name is no news to it.
        let named = attack.target.contains("{C}") || attack.body.contains("{C}");
        let told = answer.contains(CANARY) || (!named && answer.contains(&self.victim.container));
        (!refused || told).then(|| format!("{}: broker: {}", attack.name, head(&answer)))
    }
}

/// Sends each attack to the bare daemon, at a scapegoat; those that do not work there.
fn broken_on_bare(daemon: &OwnDaemon, attacks: &[&Attack]) -> Vec<String> {
    let scapegoat = Victim::make(daemon, "scapegoat");
    let mut broken = Vec::new();
    for (number, attack) in attacks.iter().enumerate() {
        let fill = |text| scapegoat.fill(text, number);
        let sent = request(attack.method, &fill(attack.target), &fill(attack.body));
        let answer = send(daemon.socket(), &sent);
        if !attack.works.contains(&status(&answer)) {
            broken.push(format!("{}: bare daemon: {}", attack.name, head(&answer)));
        }
        // Later attacks need it alive.
        if attack.name == "kill" || attack.name == "stop" {
            daemon.docker(&["start", &scapegoat.container]);
        }
    }
    broken
}

fn head(answer: &str) -> String {
    answer.chars().take(600).collect()
}

#[test]
fn what_works_on_the_bare_socket_is_refused_by_the_broker() {
    let creations: Vec<Attack> = ON_HOST.iter().map(|(name, host)| creation(name, host)).collect();
    let attacks: Vec<&Attack> = creations.iter().chain(OTHERS).collect();
    let daemon = OwnDaemon::start(&[IMAGE]);
    assert_eq!(broken_on_bare(&daemon, &attacks), Vec::<String>::new());
    let scene = Scene::set(daemon);
    let before = scene.victim.state(&scene.daemon);
    let attacks = attacks.iter().enumerate();
    let through: Vec<String> =
        attacks.filter_map(|(number, attack)| scene.is_refused(attack, number)).collect();
    assert_eq!(through, Vec::<String>::new(), "{} through", through.len());
    assert_eq!(scene.victim.state(&scene.daemon), before);
    // That a plain one is let through shows that none of them was refused for its form.
    let plain = creation("plain", "{}");
    let answer = send(&scene.brokered.socket(), &request(plain.method, plain.target, plain.body));
    assert_eq!(status(&answer), 201, "{answer}");
    assert_confined(&scene.daemon, &scene.brokered.key);
}

fn creation(name: &'static str, host: &'static str) -> Attack {
    let body = format!("{{\"Image\":\"{IMAGE}\",\"Cmd\":[\"true\"],\"HostConfig\":{host}}}");
    attack(name, ("POST", "/containers/create", Box::leak(body.into_boxed_str())), MADE)
}

/// Bodies that Go's decoder reads otherwise than they look.
#[test]
fn bodies_that_look_harmless_are_read_as_the_daemon_reads_them() {
    let scene = Scene::set(OwnDaemon::start(&[IMAGE]));
    let body = |rest: &str| format!("{{\"Image\":\"{IMAGE}\",\"Cmd\":[\"true\"]{rest}}}");
    let evil = r#"{"PidMode":"host"}"#;
    let bodies = [
        body(&format!(",\"hostconfig\":{evil}")),
        body(&format!(",\"HostConfig\":{evil},\"HostConfig\":{{}}")),
        body(&format!(",\"HostConfig\":{{}},\"hostconfig\":{evil}")),
        body(&format!(",\"Ho\u{17f}tConfig\":{evil}")),
        body(&format!(",\"\\u0048ostConfig\":{evil}")),
    ];
    for body in bodies {
        let sent = request("POST", "/containers/create", &body);
        let bare = send(scene.daemon.socket(), &sent);
        assert_eq!(status(&bare), 201, "{body}\n{bare}");
        let made: Value = serde_json::from_str(body_of(&bare)).unwrap();
        let id = made["Id"].as_str().unwrap();
        let processes = scene.daemon.docker(&["inspect", "-f", "{{.HostConfig.PidMode}}", id]);
        assert_eq!(processes.trim(), "host", "{body}");
        let answer = send(&scene.brokered.socket(), &sent);
        assert!((400..500).contains(&status(&answer)), "{body}\n{answer}");
    }
    // Rubbish behind the document, one byte a chunk, a body that beats the query.
    let trailing = body("") + "{}";
    let answer = send(&scene.brokered.socket(), &request("POST", "/containers/create", &trailing));
    assert_eq!(status(&answer), 400, "{answer}");
    let mut chunked = b"POST /v1.41/containers/create HTTP/1.1\r\nHost: docker\r\n\
                        Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    for byte in body(&format!(",\"HostConfig\":{evil}")).bytes() {
        chunked.extend([b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    chunked.extend(b"0\r\n\r\n");
    assert_eq!(status(&send(scene.daemon.socket(), &chunked)), 201);
    assert_eq!(status(&send(&scene.brokered.socket(), &chunked)), 403);
    let form = "filters=%7B%7D";
    let mut sent = request("POST", "/containers/prune", "");
    sent.truncate(sent.len() - 4);
    let sent = String::from_utf8(sent).unwrap().replace("Content-Length: 0", "Content-Length: 14")
        + "\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
        + form;
    let answer = send(&scene.brokered.socket(), sent.as_bytes());
    assert!((400..500).contains(&status(&answer)), "{answer}");
    assert!(scene.victim.state(&scene.daemon).contains(CANARY));
}

/// Another's object and one that is not there look the same.
#[test]
fn nobody_learns_which_objects_others_have() {
    let scene = Scene::set(OwnDaemon::start(&[IMAGE]));
    let say = |target: &str, name: &str| {
        let sent = request("GET", &target.replace("{}", name), "");
        let answer = send(&scene.brokered.socket(), &sent);
        (status(&answer), body_of(&answer).replace(name, "NAME"))
    };
    let victim = &scene.victim;
    for (target, there, absent) in [
        ("/containers/{}/json", victim.name.as_str(), "nothing"),
        ("/networks/{}", victim.network.as_str(), "nothing"),
        ("/volumes/{}", victim.volume.as_str(), "nothing"),
        ("/exec/{}/json", victim.exec.as_str(), "nothing"),
        ("/images/{}/json", victim.image.as_str(), "nothing/at:all"),
    ] {
        assert_eq!(say(target, there), say(target, absent), "{target}");
        assert_eq!(say(target, there).0, 404, "{target}");
    }
}
