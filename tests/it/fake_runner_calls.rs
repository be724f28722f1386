//! The fake runner, proven: which calls it makes, with what around them, and what its scripts and JSON hold.

use crate::support::api::FakeApi;
use crate::support::job_json::FakeJob;
use crate::support::recorder::{Recorder, SMALLEST, failed, verdict};
use crate::support::running::FailureReason;
use serde_json::Value;
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

fn job() -> FakeJob {
    FakeJob::new()
}

#[test]
fn the_smallest_job_makes_seven_calls() {
    let driver = Recorder::new();
    let result = driver.run(&job().script(["echo said-$((6*7))"]));
    result.assert_success();
    assert_eq!(result.call_names(), SMALLEST);
    assert!(result.call("build_script").stdout().contains("said-42"));
}

#[test]
fn a_full_job_follows_gitlabs_order() {
    let driver = Recorder::new();
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
    let driver = Recorder::new();
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
    let driver = Recorder::new();
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
    let driver = Recorder::new();
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
fn job_env_overrides_the_runners_own_names_but_no_custom_env() {
    let answer = r#"printf '{"builds_dir":"%s","cache_dir":"/c","unknown":1,"job_env":{"TMPDIR":"/tmp","CUSTOM_ENV_CI_JOB_NAME":"other"}}' "$RECORD"; exit 0"#;
    let driver = Recorder::new().when("config", answer);
    driver.run(&job()).assert_success();
    assert_eq!(driver.env("prepare", "TMPDIR").unwrap(), "/tmp");
    assert_eq!(driver.env("prepare", "CUSTOM_ENV_CI_JOB_NAME").unwrap(), "test");
}

#[test]
fn outputs_are_kept_apart_with_their_times() {
    let driver = Recorder::new().when("build_script", "echo one; sleep 0.3; echo two >&2; exit 0");
    let result = driver.run(&job());
    let call = result.call("build_script");
    assert_eq!((call.stdout().as_str(), call.stderr().as_str()), ("one\n", "two\n"));
    let gap = call.chunks[1].at - call.chunks[0].at;
    assert!(gap >= Duration::from_millis(250), "{gap:?}");
    assert!(result.trace_text().contains("one\ntwo\n"));
}

#[test]
fn a_runner_process_of_its_own_changes_nothing_else() {
    let driver = Recorder::new()
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
        let driver = Recorder::new();
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
    Recorder::new().run(&job().sources(&url, &sha).script(["grep content file"])).assert_success();

    let missing =
        job().sources("file:///no/such/repository", &sha).variable("GET_SOURCES_ATTEMPTS", "3");
    let result = Recorder::new().run(&missing);
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
    let driver = Recorder::new().when("prepare", "cp \"$JOB_RESPONSE_FILE\" \"$RECORD/response\"");
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

#[test]
fn artifacts_travel_between_jobs_through_the_stage_scripts() {
    let (api, home) = (FakeApi::start(), crate::support::stand_in::StandIn::new());
    let path = format!("{}:/usr/bin:/bin", home.beside("bin").display());
    let run = |job: FakeJob| {
        let driver = Recorder::new();
        let result = driver.runner.clone().env("PATH", &path).run(&job.server_url(&api.url()));
        result.assert_success();
        (driver, result)
    };
    let (first, second) = (job(), job());
    let id = first.id;
    let script = ["mkdir out; echo made > out/file; echo A=1 > a.env"];
    run(first.script(script).artifact(&["out/"]).dotenv("a.env"));
    assert_eq!(api.upload("dotenv").unwrap().query, "artifact_format=gzip&artifact_type=dotenv");
    let (driver, result) = run(second.dependency(id, "token", "first").script(["cat out/file"]));
    assert!(result.call_names().contains(&"run download_artifacts".to_owned()));
    assert_eq!(driver.read("builds/group/project/out/file"), "made\n");
}
