//! What the tests of `local` share: a repository, a driver that is a shell script, and a way to run it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use longshore::pipeline::args::LocalArgs;
use longshore::pipeline::local;
use longshore::world::{Stdio, World};

/// A driver that runs every stage's script on this host, below `$HERE/builds`.
pub(crate) const HOST_DRIVER: &str = r#"#!/bin/sh
HERE="$(dirname "$0")"
shift 2
echo "$*" >> "$HERE/calls.$CUSTOM_ENV_CI_JOB_NAME"
case "$1" in
config) echo "{\"builds_dir\": \"$HERE/builds/$CUSTOM_ENV_CI_JOB_ID\", \"cache_dir\": \"$HERE/cache\", \"job_env\": {\"FROM_CONFIG\": \"yes\"}}" ;;
prepare) exit "${CUSTOM_ENV_PREPARE_EXIT:-0}" ;;
run)
  test "$FROM_CONFIG" = yes || exit 9
  echo "$CUSTOM_ENV_CI_JOB_STATUS" > "$HERE/status.$3"
  PATH="$HERE/bin:$PATH" bash "$2"
  code=$?
  test $code -eq 0 && exit 0
  test -z "$CUSTOM_ENV_RUN_EXIT" || exit "$CUSTOM_ENV_RUN_EXIT"
  echo $code > "$BUILD_EXIT_CODE_FILE"
  exit 1 ;;
cleanup) ls "$TMPDIR" > "$HERE/files.$CUSTOM_ENV_CI_JOB_NAME" ;;
esac
"#;

/// A place of a test's own with a repository and a driver.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) number: Result<u8, String>,
    pub(crate) log: String,
    pub(crate) summary: serde_json::Value,
}

impl Ran {
    /// Result and exit code of a job.
    pub(crate) fn job(&self, name: &str) -> &serde_json::Value {
        let jobs = self.summary["jobs"].as_array().expect("a list of jobs");
        jobs.iter().find(|job| job["name"] == name).expect("a job of this name")
    }
}

impl Place {
    /// With this CI file and driver.
    pub(crate) fn new(ci_file: &str, driver: &str) -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        let repository = place.path("project");
        fs::create_dir_all(&repository).unwrap();
        fs::create_dir(place.path("tmp")).unwrap();
        fs::create_dir(place.path("bin")).unwrap();
        fs::write(repository.join("ci.yml"), ci_file).unwrap();
        place.git(&["init", "-q", "-b", "main", "."]);
        place.git(&["add", "."]);
        place.git(&[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "commit",
            "-qm",
            "First\n\n$HOME",
        ]);
        place.executable("driver", driver);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn executable(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts the binary where the driver's scripts find it as `gitlab-runner`.
    pub(crate) fn with_gitlab_runner(self) -> Self {
        let link = self.path("bin/gitlab-runner");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_longshore"), link).unwrap();
        self
    }

    pub(crate) fn git(&self, words: &[&str]) {
        let status = Command::new("git").args(words).current_dir(self.path("project")).status();
        assert!(status.unwrap().success(), "{words:?}");
    }

    pub(crate) fn world(&self) -> World {
        let environment = BTreeMap::from([
            (OsString::from("PATH"), std::env::var_os("PATH").unwrap()),
            (OsString::from("TMPDIR"), self.path("tmp").into_os_string()),
            (OsString::from("GIT_DIR"), OsString::from("/nonexistent")),
        ]);
        World {
            environment,
            executable: self.path("driver"),
            directory: self.path("project"),
            platform: "linux/amd64",
            clock: SystemTime::now,
        }
    }

    #[expect(clippy::unused_self, reason = "reads well where a place is run")]
    pub(crate) fn args(&self) -> LocalArgs {
        LocalArgs {
            registry: None,
            registry_user: None,
            registry_password_file: None,
            jobs: Vec::new(),
            file: "ci.yml".into(),
            repository: ".".into(),
            reference: None,
            commit: None,
            default_branch: "main".to_owned(),
            protected: false,
            project: Some("group/project".to_owned()),
            variables: Vec::new(),
            variables_file: None,
            side_by_side: 2,
            list: false,
            dry_run: false,
            listen: Some("127.0.0.1".parse().unwrap()),
            pipeline_iid: Some(7),
            json: true,
        }
    }

    pub(crate) async fn run(&self, args: LocalArgs) -> Ran {
        let (log, answer) = (self.path("log"), self.path("answer"));
        let stdio = Stdio {
            stdin: File::open("/dev/null").unwrap(),
            stdout: File::create(&answer).unwrap(),
            stderr: File::create(&log).unwrap(),
        };
        let outcome = local::run(args, self.path("settings.toml"), &self.world(), stdio).await;
        let numbers = longshore::outcome::ExitNumbers::read(None, None);
        Ran {
            number: outcome
                .map(|outcome| outcome.number(numbers))
                .map_err(|error| error.to_string()),
            log: fs::read_to_string(log).unwrap(),
            summary: serde_json::from_slice(&fs::read(answer).unwrap()).unwrap_or_default(),
        }
    }

    /// Nothing of a run may stay in the directory for scripts and artifacts.
    pub(crate) fn assert_nothing_left(&self) {
        let left: Vec<_> = list(&self.path("tmp"));
        assert!(left.is_empty(), "{left:?}");
    }
}

fn list(directory: &Path) -> Vec<OsString> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}
