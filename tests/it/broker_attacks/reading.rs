//! Requests that two programs read in two ways (1 to 29): what Go's decoder makes of a body, and what the
//! daemon makes of a target or of two requests in one.

use serde_json::Value;

use super::attack::{IMAGE, body_of, request, send, status};
use super::scene::Scene;
use crate::support::own_daemon::OwnDaemon;

fn body(rest: &str) -> String {
    format!("{{\"Image\":\"{IMAGE}\",\"Cmd\":[\"true\"]{rest}}}")
}

const EVIL: &str = r#"{"PidMode":"host"}"#;

/// 1, 2, 4, 5 and 7.
#[test]
fn bodies_that_look_harmless_are_read_as_the_daemon_reads_them() {
    let scene = Scene::set(OwnDaemon::start(&[IMAGE]));
    let bodies = [
        body(&format!(",\"hostconfig\":{EVIL}")),
        body(&format!(",\"HostConfig\":{EVIL},\"HostConfig\":{{}}")),
        body(&format!(",\"HostConfig\":{{}},\"hostconfig\":{EVIL}")),
        body(&format!(",\"Ho\u{17f}tConfig\":{EVIL}")),
        body(&format!(",\"\\u0048ostConfig\":{EVIL}")),
        body(",\"HostConfig\":{\"pidmode\":\"host\"}"),
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
}

/// A request as it is on the wire: number and name, bytes, what the bare daemon answers, and the broker.
type Raw = (&'static str, Vec<u8>, &'static [u16], u16);

fn post(target: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let text = format!(
        "POST {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    );
    text.into_bytes()
}

const JSON: &str = "Content-Type: application/json\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// One byte a chunk.
fn chunked(body: &str) -> Vec<u8> {
    let mut sent =
        b"POST /v1.41/containers/create HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\
                     Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for byte in body.bytes() {
        sent.extend([b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    sent.extend(b"0\r\n\r\n");
    sent
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn raw() -> Vec<Raw> {
    let evil = body(&format!(",\"HostConfig\":{EVIL}"));
    let create = |target: &str| post(target, JSON, &evil);
    let invalid =
        [post("/v1.41/containers/create", JSON, &body(",\"Labels\":{\"a\":\"X\"}")), b"".to_vec()]
            .concat();
    let at = invalid.iter().rposition(|byte| *byte == b'X').unwrap();
    let invalid = [&invalid[..at], b"\xff", &invalid[at + 1..]].concat();
    let both = String::from_utf8(post("/v1.41/containers/create", JSON, &evil)).unwrap();
    let two = |more: &str| both.replace("Connection: close\r\n", more).into_bytes();
    let chunks = String::from_utf8(chunked(&evil)).unwrap();
    let chunks = chunks.replace("Connection", "Content-Length: 2\r\nConnection").into_bytes();
    let path = |path: &str| create(&format!("/v1.41/{path}"));
    vec![
        (
            "8 a second document",
            post("/v1.41/containers/create", JSON, &(body("") + "{}")),
            &[201],
            400,
        ),
        (
            "10 an unknown field",
            post("/v1.41/containers/create", JSON, &body(",\"New\":1")),
            &[201],
            403,
        ),
        (
            "11 two MiB",
            post("/v1.41/containers/create", JSON, &(" ".repeat(2 << 20) + &evil)),
            &[201],
            413,
        ),
        ("13 not UTF-8", invalid, &[201], 400),
        ("14 a byte a chunk", chunked(&evil), &[201], 403),
        ("16 two lengths", two("Content-Length: 2\r\n"), &[400], 400),
        ("16 length and chunks", chunks, &[201], 400),
        ("19 coded letters", path("%63ontainers/create"), &[201], 400),
        ("20 a coded slash", path("containers%2fcreate"), &[201], 400),
        ("22 dots", path("containers/x/../create"), &[301], 400),
        ("22 two slashes", path("containers//create"), &[301], 400),
        ("23 an old version", create("/v1.12/containers/create"), &[201, 400], 400),
        ("23 no such version", create("/v1.410/containers/create"), &[400], 400),
        ("24 an absolute target", create("http://evil/v1.41/containers/create"), &[201], 400),
        (
            "25 a form over the filters",
            post("/v1.41/containers/prune", FORM, "filters={}"),
            &[200],
            400,
        ),
        (
            "26 a form over the tag",
            post(&format!("/v1.41/images/{IMAGE}/tag?repo=a"), FORM, "repo=evil"),
            &[201],
            400,
        ),
        ("28 a key twice", create("/v1.41/containers/create?name=raw1&name=raw2"), &[201], 400),
        (
            "29 a list for an object",
            post("/v1.41/containers/create", JSON, &body(",\"HostConfig\":[]")),
            &[500],
            400,
        ),
        (
            "29 a number for a text",
            post("/v1.41/containers/create", JSON, &body(",\"User\":0")),
            &[500],
            400,
        ),
        (
            "not JSON by its type",
            post("/v1.41/containers/create", "Content-Type: text/plain\r\n", &evil),
            &[400, 415],
            415,
        ),
    ]
}

#[test]
fn requests_that_read_in_two_ways_are_refused() {
    let scene = Scene::set(OwnDaemon::start(&[IMAGE]));
    let before = scene.victim.state(&scene.daemon);
    for (name, sent, bare, brokered) in raw() {
        let answer = send(&scene.brokered.socket(), &sent);
        assert_eq!(status(&answer), brokered, "{name}: broker: {answer}");
        if name.contains("filters") {
            continue; // it works: the victim would be gone but for its running
        }
        let answer = send(scene.daemon.socket(), &sent);
        assert!(bare.contains(&status(&answer)), "{name}: bare daemon: {answer}");
    }
    assert_eq!(scene.victim.state(&scene.daemon), before);
}

/// 17.
#[test]
fn a_second_request_in_the_first_is_not_read() {
    let scene = Scene::set(OwnDaemon::start(&[IMAGE]));
    let kill =
        format!("POST /v1.41/containers/{}/kill HTTP/1.1\r\nHost: d\r\n\r\n", scene.victim.name);
    let first = "GET /v1.41/_ping HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n";
    let both = format!("{first}{kill}");
    let answer = send(&scene.brokered.socket(), both.as_bytes());
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let running = ["inspect", "-f", "{{.State.Running}}", &scene.victim.container];
    assert_eq!(scene.daemon.docker(&running).trim(), "true");
    let answer = send(scene.daemon.socket(), both.as_bytes());
    assert_eq!(answer.matches("HTTP/1.1").count(), 2, "{answer}");
    assert_eq!(scene.daemon.docker(&running).trim(), "false");
}
