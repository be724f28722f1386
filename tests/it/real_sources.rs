//! Sources by a real git fetch, in a helper container of another image and user than the job's.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::job_json::FakeJob;
use crate::support::real::{BUSYBOX, Host, assert_says, get};

/// A repository with one commit, served where containers reach it; ends with this value.
struct Served {
    directory: TempDir,
    url: String,
    sha: String,
    daemon: Child,
}

impl Served {
    fn start() -> Self {
        let directory = TempDir::with_prefix("longshore-test-git-").unwrap();
        let work = directory.path().join("work");
        git(directory.path(), &["init", "-q", "-b", "main", "work"]);
        std::fs::write(work.join("hello.txt"), "hello from the sources\n").unwrap();
        git(&work, &["add", "."]);
        git(
            &work,
            &["-c", "user.name=test", "-c", "user.email=test@example", "commit", "-qm", "one"],
        );
        git(directory.path(), &["clone", "-q", "--bare", "work", "project.git"]);
        let sha = git(&work, &["rev-parse", "HEAD"]);
        let address = own_address();
        let port = TcpListener::bind((address.as_str(), 0)).unwrap().local_addr().unwrap().port();
        // The program itself, not `git daemon`, whose child would outlive it.
        let program = git(directory.path(), &["--exec-path"]) + "/git-daemon";
        let daemon = Command::new(program)
            .arg(format!("--base-path={}", directory.path().display()))
            .args(["--export-all", "--reuseaddr"])
            .args([format!("--listen={address}"), format!("--port={port}")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((address.as_str(), port)).is_err() {
            assert!(Instant::now() < deadline, "git-daemon does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { directory, url: format!("git://{address}:{port}/project.git"), sha, daemon }
    }

    fn job(&self, image: &str) -> FakeJob {
        FakeJob::new().image(image).sources(&self.url, &self.sha)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = std::fs::remove_dir_all(self.directory.path());
    }
}

/// The host's own address, as containers reach it: the first of the default bridge's subnet, unless the
/// daemon has a network namespace of its own.
fn own_address() -> String {
    if let Ok(address) = std::env::var("LONGSHORE_TEST_HOST_ADDRESS") {
        return address;
    }
    let bridge = get("/networks/bridge");
    let subnet = bridge["IPAM"]["Config"][0]["Subnet"].as_str().unwrap();
    let (network, _length) = subnet.split_once('/').unwrap();
    format!("{}.1", network.rsplit_once('.').unwrap().0)
}

fn git(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(directory).args(words).output().unwrap();
    assert!(output.status.success(), "git {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_checkout_belongs_to_the_user_of_the_jobs_image() {
    let served = Served::start();
    let script = ["cat hello.txt", "stat -c 'owner=%u:%g' hello.txt .git", "echo more >>hello.txt"];
    let result = Host::new().run(&served.job("longshore-test/user:1").script(script));
    result.assert_success();
    let expected = ["hello from the sources\n", "owner=1000:1000\nowner=1000:1000\n"];
    assert_says(&result.call("build_script").stdout(), &expected);
    assert!(!result.trace_text().contains("dubious"), "{}", result.trace_text());
    // git is in the helper's image alone.
    assert_says(&result.call("get_sources").stdout(), &["Checked out"]);
}

#[test]
fn the_users_own_git_takes_the_checkout_for_its_own() {
    let served = Served::start();
    let job = served
        .job("longshore-git:latest")
        .script(["git status --short", "git log --format=subject=%s"]);
    let result = Host::new().run(&job);
    assert_says(&result.assert_success().trace_text(), &["subject=one\n"]);
}

#[test]
fn job_and_helper_share_one_network() {
    let served = Served::start();
    let addresses =
        "awk '/32 host/ {print last} {last = $2}' /proc/net/fib_trie | sort -u | tr '\\n' ' '";
    let job = served.job(BUSYBOX).script([&format!("echo \"job=$({addresses})\"")]).stage_script(
        "get_sources",
        &format!("#!/bin/sh\necho \"helper=$({addresses})\"\ngit --version\n"),
    );
    let result = Host::new().run(&job);
    result.assert_success();
    let told = result.call("build_script").stdout();
    let of_job = told.lines().find_map(|line| line.strip_prefix("job=")).unwrap();
    assert!(of_job.split(' ').count() > 2, "{of_job}");
    assert_says(
        &result.call("get_sources").stdout(),
        &[&format!("helper={of_job}\n"), "git version"],
    );
}

#[test]
fn sources_that_cannot_be_fetched_are_the_jobs_failure() {
    let served = Served::start();
    let job = FakeJob::new().image(BUSYBOX).sources(&served.url, &"0".repeat(40));
    let result = Host::new().run(&job);
    assert_eq!(result.exit_code, Some(128), "{}", result.trace_text());
    assert!(!result.call_names().contains(&"run build_script".to_owned()));
}
