//! The fake runner itself, proven against a stand-in driver that records what it is given and ends as it
//! is told: every row of the contract's tables on exit numbers and on signals.

use crate::support::call::Exit;
use crate::support::fake_runner::FakeRunner;
use crate::support::job_json::FakeJob;
use crate::support::running::{FailureReason, JobResult, JobStatus};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
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

const LONG: Duration = Duration::from_secs(20);

struct StandIn {
    directory: TempDir,
    runner: FakeRunner,
}

impl StandIn {
    fn new() -> Self {
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
    fn when(self, name: &str, shell: &str) -> Self {
        fs::write(self.path(&format!("{name}.do")), shell).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap()).into_owned()
    }

    /// A variable as a call saw it.
    fn env(&self, call: &str, key: &str) -> Option<String> {
        let all = self.read(&format!("{call}.env"));
        let prefix = format!("{key}=");
        all.split('\0').find_map(|pair| pair.strip_prefix(&prefix).map(Into::into))
    }

    fn run(&self, job: &FakeJob) -> JobResult {
        let result = self.runner.run(job);
        assert!(is_empty(self.runner.base_dir()), "the runner's TMPDIR stayed");
        result
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

fn job() -> FakeJob {
    FakeJob::new()
}

const SMALLEST: [&str; 7] = [
    "config",
    "prepare",
    "run prepare_script",
    "run get_sources",
    "run build_script",
    "run cleanup_file_variables",
    "cleanup",
];

fn verdict(result: &JobResult) -> (JobStatus, Option<i32>, Option<FailureReason>) {
    (result.status, result.exit_code, result.failure_reason)
}

fn failed(
    code: Option<i32>,
    reason: FailureReason,
) -> (JobStatus, Option<i32>, Option<FailureReason>) {
    (JobStatus::Failed, code, Some(reason))
}

#[test]
fn the_smallest_job_makes_seven_calls() {
    let driver = StandIn::new();
    let result = driver.run(&job().script(["echo said-$((6*7))"]));
    result.assert_success();
    assert_eq!(result.call_names(), SMALLEST);
    assert!(result.call("build_script").stdout().contains("said-42"));
}

#[test]
fn a_full_job_follows_gitlabs_order() {
    let driver = StandIn::new();
    let job = job()
        .after_script(["echo after"])
        .step("release", ["echo release"])
        .cache("key", &["a"])
        .artifact(&["b"])
        .dependency(5, "token", "before");
    let result = driver.run(&job);
    let expected = [
        "config",
        "prepare",
        "run prepare_script",
        "run get_sources",
        "run restore_cache",
        "run download_artifacts",
        "run build_script",
        "run step_release",
        "run after_script",
        "run archive_cache",
        "run upload_artifacts_on_success",
        "run cleanup_file_variables",
        "cleanup",
    ];
    assert_eq!(result.call_names(), expected);
}

#[test]
fn failure_skips_steps_and_takes_the_failure_stages() {
    let driver = StandIn::new();
    let mut job = job().script(["exit 7"]).after_script(["echo after"]).step("release", ["true"]);
    job = job.cache("key", &["a"]).artifact(&["b"]);
    job.cache[0].when = "always".into();
    job.artifacts[0].when = "on_failure".into();
    let result = driver.run(&job);
    assert_eq!(verdict(&result), failed(Some(7), FailureReason::ScriptFailure));
    let expected = [
        "run build_script",
        "run after_script",
        "run archive_cache_on_failure",
        "run upload_artifacts_on_failure",
        "run cleanup_file_variables",
        "cleanup",
    ];
    assert_eq!(result.call_names()[5..], expected);
    assert_eq!(driver.env("after_script", "CUSTOM_ENV_CI_JOB_STATUS").unwrap(), "failed");
}

#[test]
fn each_call_gets_its_process_group_files_and_environment() {
    let driver = StandIn::new();
    let job = job().variable("NAME", "x$CI_JOB_NAME").file("KEYFILE", "con\ntent");
    let result = driver.run(&job);
    result.assert_success();
    for call in ["config", "prepare", "build_script", "cleanup"] {
        let seen = driver.read(&format!("{call}.seen"));
        let lines: Vec<&str> = seen.lines().map(str::trim).collect();
        let record = result.call(call);
        assert_eq!(lines[0], record.pid.unwrap().to_string(), "process group");
        assert_eq!(lines[1..5], [record.directory.to_str().unwrap(), "/dev/null", "700", "600"]);
        assert_eq!(driver.env(call, "TMPDIR").unwrap(), lines[1]);
        assert_eq!(
            driver.env(call, "JOB_RESPONSE_FILE").unwrap(),
            format!("{}/response.json", lines[1])
        );
        assert_eq!(driver.env(call, "SYSTEM_FAILURE_EXIT_CODE").unwrap(), "2");
        assert_eq!(driver.env(call, "CUSTOM_ENV_NAME").unwrap(), "xtest");
        assert_eq!(driver.env(call, "CUSTOM_ENV_KEYFILE").unwrap(), "con\ntent");
        let from_config = driver.env(call, "FROM_CONFIG");
        assert_eq!(from_config.as_deref(), (call != "config").then_some("yes"), "{call}");
    }
    assert!(driver.read("build_script.seen").ends_with("\n700\n"), "the script's mode");
}

#[test]
fn directories_and_status_come_when_the_runner_knows_them() {
    let driver = StandIn::new();
    let job = job().file("KEYFILE", "content").variable("USES", "$KEYFILE");
    driver.run(&job).assert_success();
    let project = driver.path("builds/group/project").display().to_string();
    assert_eq!(driver.env("config", "CUSTOM_ENV_CI_PROJECT_DIR").unwrap(), "");
    assert_eq!(driver.env("config", "CUSTOM_ENV_RUNNER_TEMP_PROJECT_DIR").unwrap(), ".tmp");
    assert_eq!(driver.env("prepare", "CUSTOM_ENV_CI_PROJECT_DIR").unwrap(), project);
    assert_eq!(driver.env("prepare", "CUSTOM_ENV_USES").unwrap(), format!("{project}.tmp/KEYFILE"));
    assert_eq!(driver.env("cleanup", "CUSTOM_ENV_CI_JOB_STATUS").unwrap(), "success");
}

#[test]
fn exit_numbers_of_run_become_gitlabs_verdict() {
    use FailureReason::{RunnerSystemFailure, ScriptFailure};
    let file = "> \"$BUILD_EXIT_CODE_FILE\"; exit 1";
    let rows = [
        ("exit 0".to_owned(), (JobStatus::Success, None, None)),
        ("exit 1".to_owned(), failed(Some(1), ScriptFailure)),
        (format!("echo 37 {file}"), failed(Some(37), ScriptFailure)),
        (format!("echo 300 {file}"), failed(Some(300), ScriptFailure)),
        (format!("echo seven {file}"), failed(None, RunnerSystemFailure)),
        ("exit 2".to_owned(), failed(None, RunnerSystemFailure)),
        ("exit 3".to_owned(), failed(None, RunnerSystemFailure)),
        ("exit 255".to_owned(), failed(None, RunnerSystemFailure)),
        ("kill -KILL $$".to_owned(), failed(None, RunnerSystemFailure)),
    ];
    for (shell, expected) in rows {
        let result = StandIn::new().when("build_script", &shell).run(&job());
        assert_eq!(verdict(&result), expected, "{shell}");
        assert_eq!(result.call_names(), SMALLEST, "{shell}");
    }
}

#[test]
fn a_code_left_by_an_earlier_stage_is_read_again() {
    let driver = StandIn::new()
        .when("prepare_script", "echo 55 > \"$BUILD_EXIT_CODE_FILE\"; exit 0")
        .when("build_script", "exit 1");
    assert_eq!(verdict(&driver.run(&job())), failed(Some(55), FailureReason::ScriptFailure));
}

#[test]
fn prepare_failures_are_tried_three_times_unless_the_job_is_to_blame() {
    for (call, shell) in [("prepare", "exit 2"), ("prepare", "exit 3"), ("config", "exit 2")] {
        let result = StandIn::new().when(call, shell).run(&job());
        assert_eq!(
            verdict(&result),
            failed(None, FailureReason::RunnerSystemFailure),
            "{call} {shell}"
        );
        let mut once = vec!["config", "prepare", "cleanup"];
        once.retain(|name| call == "prepare" || *name != "prepare");
        assert_eq!(result.call_names(), once.repeat(3), "{call} {shell}");
    }
    for call in ["config", "prepare"] {
        let result = StandIn::new().when(call, "exit 1").run(&job());
        assert_eq!(verdict(&result), failed(Some(1), FailureReason::ScriptFailure));
        assert_eq!(result.call_names().last().unwrap(), "cleanup");
        assert_eq!(result.calls.iter().filter(|made| made.call == "config").count(), 1);
    }
}

#[test]
fn a_second_try_can_succeed_in_a_directory_of_its_own() {
    let driver = StandIn::new()
        .when("prepare", "[ -e \"$RECORD/tried\" ] || { touch \"$RECORD/tried\"; exit 2; }");
    let result = driver.run(&job());
    result.assert_success();
    assert_eq!(result.call_names()[..5], ["config", "prepare", "cleanup", "config", "prepare"]);
    assert_ne!(result.calls[1].directory, result.calls[4].directory);
}

#[test]
fn junk_from_config_is_an_error_and_silence_is_not() {
    let result = StandIn::new().when("config", "echo '{} {}'; exit 0").run(&job());
    assert_eq!(verdict(&result), failed(None, FailureReason::RunnerSystemFailure));
    assert_eq!(result.call_names(), ["config", "cleanup"].repeat(3));
    let mut driver = StandIn::new().when("config", "echo to-the-log >&2; exit 0");
    let result = driver.run(&job());
    assert_eq!(verdict(&result), failed(None, FailureReason::RunnerConfigurationError));
    let builds = driver.path("toml").display().to_string();
    driver.runner = driver.runner.clone().directories(&builds, "/cache");
    let result = driver.run(&job());
    result.assert_success();
    assert!(result.trace_text().contains("to-the-log"));
    assert_eq!(driver.env("prepare", "CUSTOM_ENV_CI_BUILDS_DIR").unwrap(), builds);
}

#[test]
fn job_env_overrides_the_runners_own_names_but_no_custom_env() {
    let answer = r#"printf '{"builds_dir":"%s","cache_dir":"/c","unknown":1,"job_env":{"TMPDIR":"/tmp","CUSTOM_ENV_CI_JOB_NAME":"other"}}' "$RECORD"; exit 0"#;
    let driver = StandIn::new().when("config", answer);
    driver.run(&job()).assert_success();
    assert_eq!(driver.env("prepare", "TMPDIR").unwrap(), "/tmp");
    assert_eq!(driver.env("prepare", "CUSTOM_ENV_CI_JOB_NAME").unwrap(), "test");
}

#[test]
fn a_driver_that_cannot_start_is_our_fault() {
    let result = FakeRunner::new("/no/such/driver").retry_interval(Duration::ZERO).run(&job());
    assert_eq!(verdict(&result), failed(None, FailureReason::RunnerSystemFailure));
    assert_eq!(result.call_names(), ["config", "cleanup"].repeat(3));
    let result = StandIn::new().run(&job().variable("BIG", &"x".repeat(131_072)));
    assert!(matches!(result.calls[0].exit, Exit::NotStarted(_)), "{:?}", result.calls[0].exit);
    StandIn::new().run(&job().variable("BIG", &"x".repeat(131_000))).assert_success();
}

#[test]
fn cleanup_may_fail_without_changing_the_verdict() {
    let driver = StandIn::new().when("cleanup", "echo out; echo err >&2; exit 1");
    let result = driver.run(&job());
    result.assert_success();
    let (cleanup, log) = (result.call("cleanup"), result.runner_log_text());
    assert_eq!((cleanup.stdout().as_str(), cleanup.stderr().as_str()), ("out\n", "err\n"));
    assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
    assert!(log.ends_with("WARNING: Executor cleanup failed\n"), "{log}");
    assert!(!result.trace_text().contains("err\n"));
}

#[test]
fn cancel_ends_the_script_and_lets_after_script_run() {
    let driver = StandIn::new();
    let job = job().script(["echo begun", "sleep 30", "echo never"]).after_script(["echo after"]);
    let running = driver.runner.start(&job);
    running.wait_for_output("begun", LONG);
    running.cancel();
    let result = running.join();
    assert_eq!(verdict(&result), (JobStatus::Canceled, None, None));
    assert_eq!(
        result.call_names()[4..],
        ["run build_script", "run after_script", "run cleanup_file_variables", "cleanup"]
    );
    assert_eq!(result.call("build_script").exit, Exit::Signal(15));
    assert_eq!(driver.env("after_script", "CUSTOM_ENV_CI_JOB_STATUS").unwrap(), "canceled");
    assert!(result.duration < LONG);
}

#[test]
fn cancel_before_the_script_and_abort_leave_only_cleanup() {
    let driver = StandIn::new().when("get_sources", "echo begun; sleep 30");
    let running = driver.runner.start(&job().after_script(["true"]));
    running.wait_for_output("begun", LONG);
    running.cancel();
    let result = running.join();
    assert_eq!(result.status, JobStatus::Canceled);
    assert_eq!(result.call_names()[3..], ["run get_sources", "cleanup"]);

    let driver = StandIn::new();
    let running =
        driver.runner.start(&job().script(["echo begun; sleep 30"]).after_script(["true"]));
    running.wait_for_output("begun", LONG);
    running.abort();
    let result = running.join();
    assert_eq!(result.status, JobStatus::Canceled);
    assert_eq!(result.call_names()[4..], ["run build_script", "cleanup"]);
}

#[test]
fn the_jobs_timeout_leaves_only_cleanup() {
    let driver = StandIn::new();
    let job = job().script(["sleep 30"]).after_script(["true"]).timeout(Duration::from_secs(1));
    let result = driver.run(&job);
    assert_eq!(verdict(&result), failed(None, FailureReason::JobExecutionTimeout));
    assert_eq!(result.call_names()[4..], ["run build_script", "cleanup"]);
    assert_eq!(driver.env("cleanup", "CUSTOM_ENV_CI_JOB_STATUS").unwrap(), "failed");
    assert!(result.call("build_script").terminated.is_some());
}

#[test]
fn the_scripts_own_timeout_ends_that_stage_only() {
    let job = job()
        .script(["sleep 30"])
        .after_script(["true"])
        .variable("RUNNER_SCRIPT_TIMEOUT", "200ms");
    let result = StandIn::new().run(&job);
    assert_eq!(verdict(&result), failed(None, FailureReason::JobExecutionTimeout));
    assert_eq!(
        result.call_names()[5..],
        ["run after_script", "run cleanup_file_variables", "cleanup"]
    );
}

#[test]
fn who_ignores_term_is_killed() {
    let driver =
        StandIn::new().when("build_script", "trap '' TERM; echo begun; sleep 30; sleep 30");
    let running = driver.runner.start(&job());
    running.wait_for_output("begun", LONG);
    running.cancel();
    let result = running.join();
    let call = result.call("build_script");
    assert_eq!(call.exit, Exit::Signal(9));
    assert!(call.duration >= call.terminated.unwrap() + Duration::from_millis(300));
}

#[test]
fn a_background_child_that_holds_an_output_holds_the_stage() {
    let driver = StandIn::new().when("build_script", "sleep 0.7 & exit 0");
    let result = driver.run(&job());
    assert!(result.call("build_script").duration >= Duration::from_millis(700));
}

#[test]
fn outputs_are_kept_apart_with_their_times() {
    let driver = StandIn::new().when("build_script", "echo one; sleep 0.3; echo two >&2; exit 0");
    let result = driver.run(&job());
    let call = result.call("build_script");
    assert_eq!((call.stdout().as_str(), call.stderr().as_str()), ("one\n", "two\n"));
    let gap = call.chunks[1].at - call.chunks[0].at;
    assert!(gap >= Duration::from_millis(250), "{gap:?}");
    assert!(result.trace_text().contains("one\ntwo\n"));
}

#[test]
fn a_killed_runner_leaves_the_driver_behind_and_cleans_nothing() {
    let driver = StandIn::new().when(
        "build_script",
        "echo begun; while [ $PPID != 1 ] && [ -d /proc/$PPID ]; do sleep 0.05; done; touch \"$RECORD/orphan\"; exit 0",
    );
    let runner = driver.runner.clone().own_process();
    let running = runner.start(&job());
    running.wait_for_output("begun", LONG);
    running.kill_runner();
    let result = running.join();
    assert_eq!(result.status, JobStatus::Lost);
    assert_eq!(result.call_names().last().unwrap(), "run build_script");
    assert!(!is_empty(runner.base_dir()), "the runner's TMPDIR stays, as nobody removes it");
    let deadline = Instant::now() + LONG;
    while !driver.path("orphan").exists() {
        assert!(Instant::now() < deadline, "the driver did not outlive its runner");
        std::thread::yield_now();
    }
}

#[test]
fn a_runner_process_of_its_own_changes_nothing_else() {
    let driver = StandIn::new()
        .when("build_script", "echo two >&2; echo 9 > \"$BUILD_EXIT_CODE_FILE\"; exit 1");
    let result = driver.runner.clone().own_process().run(&job().variable("ODD", "a'b\nc\\d"));
    assert_eq!(verdict(&result), failed(Some(9), FailureReason::ScriptFailure));
    assert_eq!(result.call_names(), SMALLEST);
    assert_eq!(result.call("build_script").stderr(), "two\n");
    assert_eq!(driver.env("build_script", "CUSTOM_ENV_ODD").unwrap(), "a'b\nc\\d");
    let seen = driver.read("build_script.seen");
    assert_eq!(
        seen.lines().next().unwrap().trim(),
        result.call("build_script").pid.unwrap().to_string()
    );
}

#[test]
fn scripts_export_variables_and_write_file_variables() {
    let odd = "quote' \"two\" $dollar `tick` \\back\nline\tümläut";
    for posix in ["false", "true"] {
        let job = job()
            .raw("ODD", odd)
            .file("KEYFILE", odd)
            .variable("FF_POSIXLY_CORRECT_ESCAPES", posix)
            .script(["printf %s \"$ODD\" > odd; cp \"$KEYFILE\" file; cat > stdin; pwd"]);
        let driver = StandIn::new();
        let result = driver.run(&job);
        result.assert_success();
        let project = "builds/group/project";
        assert_eq!(driver.read(&format!("{project}/odd")), odd, "posix: {posix}");
        assert_eq!(driver.read(&format!("{project}/file")), odd);
        assert_eq!(driver.read(&format!("{project}/stdin")), "");
        assert!(!driver.path(&format!("{project}.tmp/KEYFILE")).exists(), "removed at the end");
        assert!(driver.read("build_script.script").starts_with("#!/usr/bin/env bash\n"));
    }
}

#[test]
fn sources_come_by_a_real_fetch_and_a_failed_one_clears_the_tree() {
    let origin = TempDir::new().unwrap();
    let git = |words: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.current_dir(origin.path()).args([
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@example.org",
        ]);
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "-b", "main"]);
    fs::write(origin.path().join("file"), "content").unwrap();
    git(&["add", "file"]);
    git(&["commit", "-q", "-m", "one"]);
    let sha = git(&["rev-parse", "HEAD"]);
    let url = format!("file://{}", origin.path().display());
    StandIn::new().run(&job().sources(&url, &sha).script(["grep content file"])).assert_success();

    let missing =
        job().sources("file:///no/such/repository", &sha).variable("GET_SOURCES_ATTEMPTS", "3");
    let result = StandIn::new().run(&missing);
    assert_eq!(result.failure_reason, Some(FailureReason::ScriptFailure));
    let names = result.call_names();
    let sources = [
        "run get_sources",
        "run clear_worktree",
        "run get_sources",
        "run get_sources",
        "run cleanup_file_variables",
        "cleanup",
    ];
    assert_eq!(names[3..], sources);
}

#[test]
fn the_jobs_json_has_gitlabs_shape() {
    let driver = StandIn::new().when("prepare", "cp \"$JOB_RESPONSE_FILE\" \"$RECORD/response\"");
    let job = job()
        .image_with_entrypoint("alpine:3", &["/bin/e"])
        .service("redis:7", "cache,db")
        .masked("SECRET", "value")
        .registry_credentials("r.example", "u", "p")
        .branch("topic/a", false)
        .edit_json(|json| json["extra"] = Value::from(1));
    driver.run(&job).assert_success();
    let json: Value = serde_json::from_str(&driver.read("response")).unwrap();
    assert_eq!(json["image"]["name"], "alpine:3");
    assert_eq!(json["image"]["entrypoint"][0], "/bin/e");
    assert_eq!(json["services"][0]["alias"], "cache,db");
    assert_eq!(
        (&json["git_info"]["protected"], &json["git_info"]["ref"]),
        (&false.into(), &"topic/a".into())
    );
    assert_eq!(json["credentials"][0]["url"], "r.example");
    assert_eq!((&json["id"], &json["extra"]), (&job.id.into(), &1.into()));
    let secret =
        json["variables"].as_array().unwrap().iter().find(|v| v["key"] == "SECRET").unwrap();
    assert_eq!((&secret["masked"], &secret["value"]), (&true.into(), &"value".into()));
    assert_eq!(driver.env("prepare", "CUSTOM_ENV_CI_JOB_IMAGE").unwrap(), "alpine:3");
    assert!(
        driver.env("prepare", "CUSTOM_ENV_CI_JOB_SERVICES").unwrap().contains(r#""alias":"cache""#)
    );
}
