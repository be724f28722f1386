//! The brokered socket in whole jobs: what it costs where nobody uses it, how many may use it at once, and that a
//! client that stalls holds up nothing but itself.

use std::sync::Arc;
use std::time::Duration;

use crate::support::job_json::FakeJob;
use crate::support::kill_points::{KillPoints, Proxy};
use crate::support::real::{Host, assert_says};

const CLIENTS: &str = "longshore-test/clients:1";

fn host() -> Host {
    Host::new()
        .docker("docker_socket", "\"brokered\"")
        .docker("shared_images", "[\"longshore-test/*\"]")
        .table("[broker]\nallowed_images = [\"longshore-test/*\"]\n")
}

/// What the driver asks the daemon for in the course of a job.
fn asked(host: Host, job: &FakeJob) -> Vec<String> {
    let (points, _hits) = KillPoints::of_job(job.id);
    let proxy = Proxy::start(&points);
    let result = host.docker("host", &format!("{:?}", proxy.host())).run(job);
    result.assert_success();
    let passed = Arc::clone(&points).passed();
    let stages = passed.into_iter().filter(|point| point.call.starts_with("run "));
    stages.map(|point| format!("{}: {}", point.call, point.request)).collect()
}

#[test]
fn a_job_that_never_uses_it_asks_the_daemon_nothing_more() {
    let job =
        || FakeJob::new().image(CLIENTS).script(["test -S /var/run/docker.sock || echo none"]);
    let without = asked(Host::new(), &job());
    let with = asked(host(), &job());
    assert_eq!(with, without);
    let used = asked(host(), &FakeJob::new().image(CLIENTS).script(["docker ps"]));
    assert!(used.len() > with.len(), "{used:?}");
}

/// Clients that hold their connections open, and one more.
const CROWD: &str = r#"
import socket

def ask(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect("/var/run/docker.sock")
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: docker\r\n\r\n".encode())
    return client

waiting = [ask("/v1.41/events") for _ in range(31)]
for client in waiting:
    assert client.recv(4096).startswith(b"HTTP/1.1 200 "), "an event stream"
assert ask("/_ping").recv(4096).startswith(b"HTTP/1.1 200 "), "beside 31 others"
waiting.append(ask("/v1.41/events"))
assert waiting[-1].recv(4096).startswith(b"HTTP/1.1 200 "), "the 32nd"
late = ask("/_ping")
late.settimeout(1)
try:
    raise AssertionError(late.recv(4096))
except TimeoutError:
    pass
waiting.pop().close()
late.settimeout(30)
assert late.recv(4096).startswith(b"HTTP/1.1 200 "), "once there is a place"
print("32 at once")
"#;

#[test]
fn thirty_two_clients_are_served_at_once_and_the_next_one_after_them() {
    let write = format!("cat >crowd.py <<'END_OF_FILE'{CROWD}END_OF_FILE");
    let job = FakeJob::new().image(CLIENTS).script([write.as_str(), "python3 crowd.py"]);
    let result = host().run(&job);
    assert_says(&result.assert_success().trace_text(), &["\n32 at once\n"]);
}

/// A build whose context stops half-way, and then goes away with its stage.
const STALLED: &str = r#"
import socket, sys, time

client = socket.socket(socket.AF_UNIX)
client.connect("/var/run/docker.sock")
head = "POST /v1.41/build?t=stalled HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\n"
client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
entry = b"big" + bytes(97) + b"0000644\0" + b"0000000\0" * 2 + b"77777777777\0" + b"00000000000\0"
entry = (entry + b"        " + b"0" + bytes(100) + b"ustar\x0000").ljust(512, b"\0")
entry = entry[:148] + f"{sum(entry):06o}\0 ".encode() + entry[156:]
piece = entry + bytes(4 << 20)
client.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
print("stalled now", flush=True)
time.sleep(600)
"#;

#[test]
fn an_upload_that_stalls_holds_up_neither_the_log_nor_others() {
    let write = format!("cat >stalled.py <<'END_OF_FILE'{STALLED}END_OF_FILE");
    let job = FakeJob::new().image(CLIENTS).timeout(Duration::from_mins(5)).script([
        write.as_str(),
        "mkfifo told; python3 stalled.py >told &",
        "read -r line <told; test \"$line\" = 'stalled now'",
        "seq 1 300000",
        "docker run --rm longshore-test/busybox:1 seq 1 300000 | tail -n 1",
        "echo all of it done",
    ]);
    let result = host().run(&job);
    let trace = result.assert_success().trace_text();
    assert_says(&trace, &["\n299999\n300000\n", "\nall of it done\n"]);
}
