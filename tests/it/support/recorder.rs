//! A driver in a few lines of shell that records what it is given and ends as it is told: what the fake
//! runner itself is proven against.

use super::fake_runner::FakeRunner;
use super::job_json::FakeJob;
use super::running::{FailureReason, JobResult, JobStatus};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Runs the stage's script on the spot, unless the test put a line of shell into `<name>.do`.
const DRIVER: &str = r#"#!/usr/bin/env bash
name=$1; [ "$1" != run ] || name=$3
env -0 > "$RECORD/$name.env"
printf '%s\0' "$@" > "$RECORD/$name.argv"
{ ps -o pgid= -p $$; pwd; readlink /proc/$$/fd/0; stat -c '%a' . response.json; } > "$RECORD/$name.seen"
[ "$1" != run ] || { cp "$2" "$RECORD/$name.script"; stat -c %a "$2" >> "$RECORD/$name.seen"; }
[ ! -f "$RECORD/$name.do" ] || . "$RECORD/$name.do"
case $1 in
config) printf '{"builds_dir":"%s/builds","cache_dir":"%s/cache","job_env":{"FROM_CONFIG":"yes"}}' "$RECORD" "$RECORD" ;;
run) bash "$2"; code=$?; [ $code = 0 ] || { echo $code > "$BUILD_EXIT_CODE_FILE"; exit "$BUILD_FAILURE_EXIT_CODE"; } ;;
esac
"#;

#[derive(Debug)]
pub struct Recorder {
    directory: TempDir,
    pub runner: FakeRunner,
}

impl Recorder {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("driver");
        fs::write(&path, DRIVER).unwrap();
        // Read by bash, not executed: a file just written can be busy while other tests fork.
        let runner = FakeRunner::new("bash")
            .arguments([path])
            .env("RECORD", directory.path())
            .retry_interval(Duration::from_millis(20))
            .kill_timeouts(Duration::from_millis(300), Duration::from_millis(300));
        Self { directory, runner }
    }

    /// A line of shell that a call (or stage) runs before anything else.
    pub fn when(self, name: &str, shell: &str) -> Self {
        fs::write(self.path(&format!("{name}.do")), shell).unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap()).into_owned()
    }

    /// A variable as a call saw it.
    pub fn env(&self, call: &str, key: &str) -> Option<String> {
        let all = self.read(&format!("{call}.env"));
        let prefix = format!("{key}=");
        all.split('\0').find_map(|pair| pair.strip_prefix(&prefix).map(Into::into))
    }

    pub fn run(&self, job: &FakeJob) -> JobResult {
        let result = self.runner.run(job);
        assert!(is_empty(self.runner.base_dir()), "the runner's TMPDIR stayed");
        result
    }
}

pub fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// The calls of a job that has nothing to fetch, keep or say afterwards.
pub const SMALLEST: [&str; 7] = [
    "config",
    "prepare",
    "run prepare_script",
    "run get_sources",
    "run build_script",
    "run cleanup_file_variables",
    "cleanup",
];

/// What GitLab hears of a job.
pub fn verdict(result: &JobResult) -> (JobStatus, Option<i32>, Option<FailureReason>) {
    (result.status, result.exit_code, result.failure_reason)
}

/// A failure as GitLab hears of it.
pub fn failed(
    code: Option<i32>,
    reason: FailureReason,
) -> (JobStatus, Option<i32>, Option<FailureReason>) {
    (JobStatus::Failed, code, Some(reason))
}
