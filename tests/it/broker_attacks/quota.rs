//! How much a job may have (115, 116): one more is 429, also of many at once, and what is gone counts no more.
//! Others are served meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use longshore::plan::Quota;
use serde_json::Value;

use super::attack::{IMAGE, body_of, request, send, status};
use crate::support::brokered::Brokered;
use crate::support::own_daemon::OwnDaemon;

/// Quotas as they are by default, but for networks: a daemon has addresses for about thirty.
const QUOTA: Quota =
    Quota { containers: 64, networks: 4, volumes: 32, execs: 8, upload_bytes: 1 << 20 };

fn post(socket: &Path, target: &str, body: &str) -> (u16, String) {
    let answer = send(socket, &request("POST", target, body));
    (status(&answer), answer)
}

fn start(daemon: &OwnDaemon) -> Brokered {
    Brokered::with(daemon.socket(), "slot", |_, rules| rules.quota = QUOTA)
}

fn daemon() -> OwnDaemon {
    let daemon = OwnDaemon::start(&[IMAGE]);
    daemon.docker(&["network", "create", "slot"]);
    daemon
}

fn created() -> String {
    format!("{{\"Image\":\"{IMAGE}\",\"Cmd\":[\"sleep\",\"600\"]}}")
}

/// 116: the 65th container, and its like.
#[test]
fn one_more_than_the_quota_is_refused() {
    let daemon = daemon();
    let brokered = start(&daemon);
    let socket = brokered.socket();
    let mut id = String::new();
    for (kind, most) in [("containers", 64), ("networks", 4), ("volumes", 32)] {
        for number in 0..=most {
            let (target, body) = match kind {
                "containers" => ("/containers/create".to_owned(), created()),
                kind => (format!("/{kind}/create"), format!("{{\"Name\":\"n{number}\"}}")),
            };
            let (status, answer) = post(&socket, &target, &body);
            assert_eq!(status, if number < most { 201 } else { 429 }, "{kind} {number} {answer}");
            if kind == "containers" && number == 0 {
                let made: Value = serde_json::from_str(body_of(&answer)).unwrap();
                id = made["Id"].as_str().unwrap().to_owned();
            }
        }
    }
    assert_eq!(post(&socket, &format!("/containers/{id}/start"), "").0, 204);
    for number in 0..=8 {
        let (status, answer) =
            post(&socket, &format!("/containers/{id}/exec"), r#"{"Cmd":["true"]}"#);
        assert_eq!(status, if number < 8 { 201 } else { 429 }, "exec {number} {answer}");
    }
    // What went is room for another.
    let gone = request("DELETE", &format!("/containers/{id}?force=1"), "");
    assert_eq!(status(&send(&socket, &gone)), 204);
    assert_eq!(post(&socket, "/containers/create", &created()).0, 201);
    assert_eq!(post(&socket, "/containers/create", &created()).0, 429);
}

fn ports(first: u16, count: u16) -> String {
    let bound: Vec<_> =
        (first..first + count).map(|port| format!("{{\"HostPort\":\"{port}\"}}")).collect();
    let host = format!("\"PortBindings\":{{\"80/tcp\":[{}]}}", bound.join(","));
    created()
        .replace('}', &format!(",\"ExposedPorts\":{{\"80/tcp\":{{}}}},\"HostConfig\":{{{host}}}}}"))
}

/// Each published port is a process of the host's, whatever the container's limits are.
#[test]
fn ports_are_published_up_to_a_number() {
    let daemon = daemon();
    let (_, answer) = post(daemon.socket(), "/containers/create?name=bare", &ports(20000, 129));
    daemon.docker(&["start", "bare"]);
    assert!(daemon.docker(&["port", "bare"]).lines().count() >= 129, "{answer}");
    daemon.docker(&["rm", "-f", "bare"]);
    let gateway = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = daemon.docker(&["network", "inspect", "-f", gateway, "slot"]).trim().to_owned();
    let brokered = Brokered::with(daemon.socket(), "slot", |view, _| view.gateway = Some(gateway));
    let create = |name: &str, count| {
        post(&brokered.socket(), &format!("/containers/create?name={name}"), &ports(20000, count)).0
    };
    assert_eq!(create("all", 129), 429);
    assert_eq!([create("some", 100), create("more", 29)], [201, 429]);
    let gone = request("DELETE", "/containers/some", "");
    assert_eq!(status(&send(&brokered.socket(), &gone)), 204);
    assert_eq!(create("more", 29), 201);
}

/// What a creation and an image ask for besides volumes with names.
#[test]
fn mounts_and_an_images_volumes_are_bounded() {
    let daemon = daemon();
    let lines: Vec<_> = (0..33).map(|number| format!("VOLUME /v{number}")).collect();
    let dockerfile = lines.join("\n");
    let directory = tempfile::tempdir().unwrap();
    let context = directory.path().to_str().unwrap();
    std::fs::write(directory.path().join("Dockerfile"), format!("FROM {IMAGE}\n{dockerfile}"))
        .unwrap();
    let many = "longshore-test/many:1";
    daemon.docker(&["build", "-q", "-t", many, context]);
    let of_image = created().replace(IMAGE, many);
    let tmpfs: Vec<_> = (0..65).map(|number| format!("\"/t{number}\":\"\"")).collect();
    let host = format!(",\"HostConfig\":{{\"Tmpfs\":{{{}}}}}}}", tmpfs.join(","));
    let of_tmpfs = created().replace('}', &host);
    let brokered = start(&daemon);
    for body in [&of_image, &of_tmpfs] {
        assert_eq!(post(daemon.socket(), "/containers/create", body).0, 201);
        let (status, answer) = post(&brokered.socket(), "/containers/create", body);
        assert_eq!(status, 429, "{answer}");
    }
    assert_eq!(daemon.docker(&["volume", "ls", "-q"]).lines().count(), 33, "the bare daemon's");
}

#[test]
fn of_many_at_once_no_more_than_the_quota_are_made() {
    let daemon = daemon();
    let brokered = start(&daemon);
    let socket = brokered.socket();
    let made: Vec<u16> = std::thread::scope(|scope| {
        let create = || {
            let (socket, body) = (&socket, created());
            scope.spawn(move || {
                [(); 6].map(|()| post(socket, "/containers/create", &body).0).to_vec()
            })
        };
        let threads: Vec<_> = (0..16).map(|_| create()).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|status| **status == 201).count(), 64, "{made:?}");
    assert_eq!(made.iter().filter(|status| **status == 429).count(), 96 - 64, "{made:?}");
    assert_eq!(daemon.docker(&["ps", "-aq"]).lines().count(), 64);
}

/// `docker run --rm` again and again: nobody tells the broker that they are gone.
#[test]
fn what_went_by_itself_does_not_count() {
    let daemon = daemon();
    let brokered = Brokered::with(daemon.socket(), "slot", |_, rules| rules.quota.containers = 2);
    let host = format!("unix://{}", brokered.socket().display());
    for _ in 0..6 {
        let run = ["-H", &host, "run", "--rm", IMAGE, "true"];
        let output = std::process::Command::new("docker").args(run).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// 115: one job asks for all it can get, another is served.
#[test]
fn a_job_that_asks_for_everything_starves_nobody() {
    let daemon = daemon();
    let (greedy, other) = (start(&daemon), start(&daemon));
    let (_, answer) = post(&other.socket(), "/containers/create", &created());
    let made: Value = serde_json::from_str(body_of(&answer)).unwrap();
    let look = request("GET", &format!("/containers/{}/json", made["Id"].as_str().unwrap()), "");
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    std::thread::scope(|scope| {
        let ask = || {
            let (socket, body) = (greedy.socket(), created());
            scope.spawn(move || {
                let all = [(); 20].map(|()| post(&socket, "/containers/create", &body).0);
                all.iter().filter(|status| **status == 429).count()
            })
        };
        let threads: Vec<_> = (0..32).map(|_| ask()).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            let began = Instant::now();
            assert_eq!(status(&send(&other.socket(), &look)), 200);
            slowest = slowest.max(began.elapsed());
        }
        refused = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    });
    assert_eq!(refused, 32 * 20 - 64);
    // Far above what it is, and far below what a queue behind the other's requests would be.
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}
