//! Brokered jobs where the runner is not simply beside the daemon: a daemon behind TCP, and a runner in a
//! container of its own, which has the daemon's socket and nothing else of the host.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::support::fake_runner::FakeRunner;
use crate::support::job_json::FakeJob;
use crate::support::names::unique;
use crate::support::real::{BINARY, BUSYBOX, Host, assert_says, await_gone, docker_host, socket};

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
