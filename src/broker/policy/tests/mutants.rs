//! Creations that are nearly right, made from a seed: for the tests of the policy, and for those that send them
//! to a daemon.

use serde_json::{Value, json};

/// Small, fast, and the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Paths of fields, with their values.
pub(crate) type Fields = Vec<(&'static str, Vec<Value>)>;

/// What the values name: one job's objects and another's.
pub(crate) struct World {
    /// Id of its network `net`.
    pub(crate) network: String,
    /// Id of another's container, called `victim`.
    pub(crate) victim: String,
    /// Its image: names under which the job has it, the first of them most of the time.
    pub(crate) images: Vec<String>,
}

/// Field of a container's creation, and values for it, some of which are fine.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn fields(world: &World) -> Fields {
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
                json!(world.network),
                container("web"),
                container(&world.victim),
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
        ("HostConfig.VolumesFrom", vec![json!(["web:ro"]), json!([world.victim])]),
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

/// The body of a creation that is nearly right.
pub(crate) fn container(
    random: &mut Random,
    world: &World,
    fields: &[(&str, Vec<Value>)],
) -> String {
    let image = random.one(&world.images);
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
