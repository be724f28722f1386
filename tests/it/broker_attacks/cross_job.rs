//! Another job's objects: read, changed, used or removed. The last ones destroy the scapegoat.

use super::attack::{Attack, DONE, MADE, attack};

/// Sent first: later the attacker has objects of the same names.
pub(super) const LISTS: &[Attack] = &[
    attack(
        "97 listed by label",
        (
            "GET",
            "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22longshore.job%3Dvictim%22%5D%7D",
            "",
        ),
        DONE,
    ),
    attack(
        "97 listed by id",
        ("GET", "/containers/json?all=1&filters=%7B%22id%22%3A%5B%22{C}%22%5D%7D", ""),
        DONE,
    ),
    attack(
        "97 listed by image",
        ("GET", "/containers/json?all=1&filters=%7B%22ancestor%22%3A%5B%22{img}%22%5D%7D", ""),
        DONE,
    ),
    attack(
        "97 listed by volume",
        ("GET", "/containers/json?all=1&filters=%7B%22volume%22%3A%5B%22{vol}%22%5D%7D", ""),
        DONE,
    ),
    attack(
        "97 listed by network",
        ("GET", "/containers/json?all=1&filters=%7B%22network%22%3A%5B%22{net}%22%5D%7D", ""),
        DONE,
    ),
    attack("98 images listed", ("GET", "/images/json?all=1", ""), DONE),
    attack("volumes listed", ("GET", "/volumes", ""), DONE),
    attack("networks listed", ("GET", "/networks", ""), DONE),
];

pub(super) const OTHERS: &[Attack] = &[
    attack("82 logs", ("GET", "/containers/{C}/logs?stdout=1&stderr=1", ""), DONE),
    attack("inspect by name", ("GET", "/containers/{N}/json", ""), DONE),
    attack("inspect by short id", ("GET", "/containers/{c}/json", ""), DONE),
    attack("83 top", ("GET", "/containers/{C}/top", ""), DONE),
    attack("88 changes", ("GET", "/containers/{C}/changes", ""), DONE),
    attack("88 export", ("GET", "/containers/{C}/export", ""), DONE),
    attack("88 file", ("GET", "/containers/{C}/archive?path=/tmp/file", ""), DONE),
    attack("83 stats", ("GET", "/containers/{C}/stats?stream=0", ""), DONE),
    attack(
        "86 attach",
        ("POST", "/containers/{C}/attach?stream=1&stdout=1&logs=1", ""),
        &[101, 200],
    ),
    attack(
        "85 exec",
        ("POST", "/containers/{C}/exec", r#"{"Cmd":["env"],"AttachStdout":true}"#),
        MADE,
    ),
    attack(
        "85 another's exec",
        ("POST", "/exec/{exec}/start", r#"{"Detach":false,"Tty":false}"#),
        &[101, 200],
    ),
    attack("85 another's exec inspected", ("GET", "/exec/{exec}/json", ""), DONE),
    attack("89 commit", ("POST", "/commit?container={C}&repo=stolen&tag={x}", "{}"), MADE),
    attack("98 image", ("GET", "/images/{img}/json", ""), DONE),
    attack("98 history", ("GET", "/images/{img}/history", ""), DONE),
    attack("98 image saved", ("GET", "/images/{img}/get", ""), DONE),
    attack(
        "100 image tagged over",
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
        "94 put on a foreign network",
        ("POST", "/networks/bridge/connect", r#"{"Container":"{C}"}"#),
        DONE,
    ),
    attack("95 pause", ("POST", "/containers/{C}/pause", ""), DONE),
    attack("95 unpause", ("POST", "/containers/{C}/unpause", ""), DONE),
    attack(
        "95 update",
        ("POST", "/containers/{C}/update", r#"{"RestartPolicy":{"Name":"always"}}"#),
        DONE,
    ),
    attack("95 rename", ("POST", "/containers/{C}/rename?name={N}-{x}", ""), DONE),
    attack("95 kill", ("POST", "/containers/{C}/kill", ""), DONE),
    attack("95 restart", ("POST", "/containers/{C}/restart?t=0", ""), DONE),
    attack("95 stop", ("POST", "/containers/{C}/stop?t=0", ""), DONE),
    attack(
        "64 start with a body of 1.21",
        ("POST", "/v1.21/containers/{C}/start", r#"{"Binds":["/:/h"]}"#),
        DONE,
    ),
    attack("events", ("GET", "/events?since=1&until=2000000000", ""), DONE),
    attack("86 attach by websocket", ("GET", "/containers/{C}/attach/ws?stream=1", ""), &[400]),
    attack("90 inspect by half an id", ("GET", "/containers/{c}/json?size=1", ""), DONE),
    attack(
        "94 own container on its network",
        ("POST", "/networks/{net}/connect", r#"{"Container":"{own}"}"#),
        &[200, 403],
    ),
    attack(
        "94 own container on the default network",
        ("POST", "/networks/bridge/connect", r#"{"Container":"{own}"}"#),
        &[200, 403],
    ),
    attack("103 image by id", ("GET", "/images/{imgid}/json", ""), DONE),
    attack(
        "103 created from the image by id",
        ("POST", "/containers/create", r#"{"Image":"{imgid}","Cmd":["env"]}"#),
        MADE,
    ),
    attack(
        "109 named as another's short id",
        ("POST", "/containers/create?name={c}", r#"{"Image":"longshore-test/busybox:1"}"#),
        MADE,
    ),
    attack(
        "110 pushed under another's name",
        ("POST", "/images/other/{N}/push?tag=latest", ""),
        DONE,
    ),
];

pub(super) const DESTRUCTIVE: &[Attack] = &[
    attack("95 container removed", ("DELETE", "/containers/{C}?force=1&v=1", ""), DONE),
    attack("106 containers pruned", ("POST", "/containers/prune", ""), DONE),
    attack("image removed", ("DELETE", "/images/{img}?force=1", ""), DONE),
    attack("network removed", ("DELETE", "/networks/{net}", ""), DONE),
    attack("volume removed", ("DELETE", "/volumes/{vol}?force=1", ""), DONE),
    attack("106 volumes pruned", ("POST", "/volumes/prune", ""), DONE),
    attack("106 networks pruned", ("POST", "/networks/prune", ""), DONE),
    attack("106 images pruned", ("POST", "/images/prune", ""), DONE),
];
