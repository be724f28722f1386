//! A git repository for jobs to fetch, served on the address that every container reaches.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::job_json::FakeJob;
use super::real::get;

/// A repository of three commits with a submodule `part`, served where containers reach it; ends with this
/// value.
pub(crate) struct Served {
    directory: TempDir,
    pub(crate) url: String,
    pub(crate) sha: String,
    daemon: Child,
}

impl Served {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With these files in the last commit besides.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let directory = TempDir::with_prefix("longshore-test-git-").unwrap();
        let submodule = repository(directory.path(), "part");
        commit(&submodule, &[("part.txt", "of the submodule\n")]);
        publish(directory.path(), "part");
        let work = repository(directory.path(), "project");
        commit(&work, &[("hello.txt", "an older greeting\n")]);
        let tool = [("hello.txt", "hello from the sources\n"), ("bin/tool", "#!/bin/sh\n")];
        commit(&work, &tool);
        let tool = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(work.join("bin/tool"), tool).unwrap();
        let local = ["-c", "protocol.file.allow=always", "submodule", "-q", "add", "../part.git"];
        git(&work, &["config", "remote.origin.url", &directory.path().join("x").to_string_lossy()]);
        git(&work, &local);
        commit(&work, files);
        publish(directory.path(), "project");
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

    /// A job of these sources in an image.
    pub(crate) fn job(&self, image: &str) -> FakeJob {
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

fn repository(base: &Path, name: &str) -> PathBuf {
    git(base, &["init", "-q", "-b", "main", name]);
    base.join(name)
}

fn commit(work: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        std::fs::create_dir_all(work.join(name).parent().unwrap()).unwrap();
        std::fs::write(work.join(name), content).unwrap();
    }
    git(work, &["add", "."]);
    git(work, &["-c", "user.name=test", "-c", "user.email=test@example", "commit", "-qm", "one"]);
}

fn publish(base: &Path, name: &str) {
    git(base, &["clone", "-q", "--bare", name, &format!("{name}.git")]);
}

/// The host's own address, as containers reach it: the first of the default bridge's subnet, unless the
/// daemon has a network namespace of its own.
pub(crate) fn own_address() -> String {
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
