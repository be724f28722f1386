//! The compiled binary under the name `gitlab-runner`, as stage scripts meet it: found on PATH, called in
//! the project directory.

use super::api::FakeApi;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A project directory and, beside it, a directory on PATH with the binary in it.
#[derive(Debug)]
pub struct StandIn {
    home: TempDir,
}

/// What a call came to.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    pub fn assert_says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is not in: {}", self.stderr);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Default for StandIn {
    fn default() -> Self {
        Self::new()
    }
}

impl StandIn {
    pub fn new() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        for directory in ["project", "bin", "tmp"] {
            std::fs::create_dir(home.path().join(directory)).expect("a directory");
        }
        symlink(env!("CARGO_BIN_EXE_longshore"), home.path().join("bin/gitlab-runner"))
            .expect("a link");
        Self { home }
    }

    /// A path beside the project.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn project(&self) -> PathBuf {
        self.beside("project")
    }

    /// Writes a file of the project, with the directories above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let full = self.project().join(path);
        std::fs::create_dir_all(full.parent().expect("a parent")).expect("directories");
        std::fs::write(&full, content).expect("the file is written");
        full
    }

    /// The command with these words and an environment of nothing but PATH and TMPDIR.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.beside("bin/gitlab-runner"));
        let path = format!("{}:/usr/bin:/bin", self.beside("bin").display());
        command.args(words).current_dir(self.project()).env_clear();
        command.env("PATH", path).env("TMPDIR", self.beside("tmp"));
        command
    }

    pub fn call(&self, words: &[&str]) -> Ended {
        self.command(words).output().expect("the binary starts").into()
    }

    /// `artifacts-uploader` for job 7 towards `api`.
    pub fn upload(&self, api: &FakeApi, words: &[&str]) -> Ended {
        let url = api.url();
        let fixed = ["artifacts-uploader", "--url", &url, "--token", "tok-7", "--id", "7"];
        self.call(&[&fixed[..], &["--retry-time", "10ms"], words].concat())
    }

    /// `cache-archiver` into `cache/KEY/cache.zip` beside the project, named as the scripts do.
    pub fn archive(&self, key: &str, words: &[&str]) -> Ended {
        let file = format!("../cache/{key}/cache.zip");
        let fixed = ["cache-archiver", "--file", &file, "--timeout", "10", "--retry-time", "10ms"];
        self.call(&[&fixed[..], words].concat())
    }

    /// `cache-extractor` from there.
    pub fn extract(&self, key: &str, words: &[&str]) -> Ended {
        let file = format!("../cache/{key}/cache.zip");
        let fixed = ["cache-extractor", "--file", &file, "--timeout", "10", "--retry-time", "10ms"];
        self.call(&[&fixed[..], words].concat())
    }

    /// `artifacts-downloader` of job 7's artifacts from `api`.
    pub fn download(&self, api: &FakeApi) -> Ended {
        let url = api.url();
        let fixed = ["artifacts-downloader", "--url", &url, "--token", "tok-7", "--id", "7"];
        self.call(&[&fixed[..], &["--retry-time=10ms"]].concat())
    }
}

/// Runs a line of Python in a directory; panics with its words when it fails.
pub fn python(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new("python3")
        .args(["-c", program])
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("python3 is there");
    let ended = Ended::from(output);
    ended.assert_code(0);
    ended.stdout
}
