//! Brokered jobs where the runner is not simply beside the daemon: a daemon behind TCP, with TLS and without,
//! and a runner in a container of its own, which has the daemon's socket and nothing else of the host.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::certificates::{Authority, authority_alone, dockerd_options};
use crate::support::fake_runner::FakeRunner;
use crate::support::job_json::FakeJob;
use crate::support::names::unique;
use crate::support::private_engine::Daemon;
use crate::support::real::{
    BINARY, BUSYBOX, Host, assert_says, await_gone, await_gone_from, docker_host, socket, stderr,
};

fn host() -> Host {
    Host::new()
        .docker("docker_socket", "\"brokered\"")
        .docker("shared_images", "[\"longshore-test/*\"]")
        .table("[broker]\nallowed_images = [\"longshore-test/*\"]\n")
}

/// What needs each kind of connection: answers, raw streams both ways, uploads and long output.
fn job() -> FakeJob {
    FakeJob::new().image("docker:28-cli").script([
        "docker run -d --name web longshore-test/busybox:1 sleep 300",
        "test \"$(echo word | docker exec -i web cat)\" = word",
        "test \"$(seq 1 200000 | docker run -i --rm longshore-test/busybox:1 sh -c 'cat; echo end' | tail -n 2)\" = '200000\nend'",
        "seq 1 300000 >numbers",
        "docker cp numbers web:/tmp/numbers",
        "docker cp web:/tmp/numbers - | tar -xO | cmp - numbers",
        "printf 'FROM longshore-test/busybox:1\\nCOPY numbers /\\n' >Dockerfile",
        "DOCKER_BUILDKIT=0 docker build --quiet -t mine:1 .",
        "docker run --rm mine:1 cat /numbers | cmp - numbers",
        "test \"$(docker run --rm -v \"$PWD\":/src mine:1 tail -n 1 /src/numbers)\" = 300000",
        "echo all of it done",
    ])
}

/// Carries connections to the daemon's socket, each way with its own end.
fn carry(listener: TcpListener) {
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(daemon)) = (client, UnixStream::connect(socket())) else { return };
            let (from_client, to_daemon) =
                (client.try_clone().unwrap(), daemon.try_clone().unwrap());
            std::thread::spawn(move || up(from_client, to_daemon));
            std::thread::spawn(move || down(daemon, client));
        }
    });
}

fn up(mut client: TcpStream, mut daemon: UnixStream) {
    drop(io::copy(&mut client, &mut daemon));
    drop(daemon.shutdown(Shutdown::Write));
}

fn down(mut daemon: UnixStream, mut client: TcpStream) {
    drop(io::copy(&mut daemon, &mut client));
    drop(client.shutdown(Shutdown::Write));
}

#[test]
fn a_daemon_behind_tcp_serves_brokered_jobs() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    carry(listener);
    let job = job();
    let result = host().docker("host", &format!("\"tcp://{address}\"")).run(&job);
    result.assert_success();
    assert_says(&result.trace_text(), &["\nall of it done\n"]);
}

/// The addresses that an engine of a test's own may have on its link.
fn any_engine() -> String {
    let names: Vec<String> =
        (0..63).map(|index| format!("IP:10.213.78.{}", index * 4 + 2)).collect();
    names.join(",")
}

fn secured(daemon: &Daemon, certificates: &Path) -> Host {
    host()
        .docker("host", &format!("\"tcp://{}:2376\"", daemon.address()))
        .docker("tls_cert_path", &format!("\"{}\"", certificates.display()))
}

/// A daemon that nobody speaks to who has no certificate of its authority; nor do we speak to any other.
#[test]
fn a_daemon_behind_tls_serves_brokered_jobs() {
    let authority = Authority::new().server(&any_engine());
    let certificates = authority.client();
    let options = dockerd_options(&authority);
    let daemon = Daemon::start(&options.each_ref().map(String::as_str));
    daemon.load(&["docker:28-cli", "longshore-git:latest"]);
    let job = job();
    let result = secured(&daemon, &certificates).runner().run(&job);
    result.assert_success();
    assert_says(&result.trace_text(), &["\nall of it done\n"]);
    await_gone_from(&daemon.socket, &job);
    // The count of what takes up room goes another way than all else.
    let known = secured(&daemon, &certificates);
    let counted =
        known.table("[gc]\nimages = \"1TiB\"\n").bare(&["gc", "--plan"]).output().unwrap();
    assert!(counted.status.success(), "{counted:?}");

    let plain = host().docker("host", &format!("\"tcp://{}:2376\"", daemon.address()));
    let (nobody, other) = (authority_alone(&certificates), Authority::new());
    let words = "ca.pem must be of the authority that signed";
    for (host, words) in [
        (plain, "name the directory of its certificates by docker.tls_cert_path"),
        (secured(&daemon, &nobody), "received fatal alert"),
        (secured(&daemon, &other.client()), words),
    ] {
        let refused = host.bare(&["reap"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert_says(&stderr(&refused), &[words]);
    }
}

/// A container that stands for the runner's own; what is called in it sees its files, processes and network.
struct RunnerContainer {
    name: String,
    process: String,
}

impl RunnerContainer {
    /// With the daemon's socket, the program and these directories.
    fn start(directories: &[&str]) -> Self {
        let name = unique();
        let mut command = docker();
        command.args(["run", "-d", "--network", "none", "--name", &name]);
        command.args(["-v", &format!("{}:/var/run/docker.sock", socket().display())]);
        command.args(["-v", &format!("{BINARY}:/usr/bin/longshore:ro")]);
        for directory in directories {
            command.args(["-v", &format!("{directory}:{directory}")]);
        }
        let started = command.args([BUSYBOX, "sleep", "600"]).output().unwrap();
        assert!(started.status.success(), "{started:?}");
        let told = docker().args(["inspect", "-f", "{{.State.Pid}}", &name]).output().unwrap();
        let process = String::from_utf8(told.stdout).unwrap().trim().to_owned();
        Self { name, process }
    }

    /// A program that calls ours in there, as the child of a process that is in there too.
    fn driver(&self) -> String {
        let process = &self.process;
        format!(
            "#!/bin/sh\nexec nsenter --target {process} --mount --pid --net --ipc --uts --root --wdns=/ -- \
             /bin/sh -c '/usr/bin/longshore \"$@\"; exit $?' longshore \"$@\"\n"
        )
    }
}

impl Drop for RunnerContainer {
    fn drop(&mut self) {
        let removed = docker().args(["rm", "-f", &self.name]).output().unwrap();
        assert!(std::thread::panicking() || removed.status.success(), "{removed:?}");
    }
}

fn docker() -> Command {
    let mut command = Command::new("docker");
    command.args(["-H", &docker_host()]);
    command
}

#[test]
fn a_runner_in_a_container_serves_brokered_jobs() {
    let host = host().docker("host", "\"unix:///var/run/docker.sock\"");
    let settings = host.settings();
    let temporary = std::env::temp_dir().display().to_string();
    let container = RunnerContainer::start(&[&temporary]);
    let driver = host.path("driver");
    std::fs::write(&driver, container.driver()).unwrap();
    std::fs::set_permissions(&driver, std::fs::Permissions::from_mode(0o755)).unwrap();
    let job = job();
    let result = FakeRunner::new(&driver)
        .arguments(["--settings".into(), settings.into_os_string()])
        .retry_interval(Duration::from_millis(10))
        .run(&job);
    result.assert_success();
    assert_says(&result.trace_text(), &["\nall of it done\n"]);
    await_gone(&job);
}
