//! A pipeline through a driver that is a shell script: order of calls, files, exit codes, cancel, time
//! limits. The CI files are JSON, which is YAML too.

use super::local_support::{HOST_DRIVER, Place};

fn one_job(script: &str, more: &str) -> String {
    format!(r#"{{"stages": ["test"], "unit": {{"stage": "test", "script": [{script:?}]{more}}}}}"#)
}

#[tokio::test]
async fn a_job_goes_through_all_calls_with_its_sources() {
    let place = Place::new(
        &one_job("test -f ci.yml && git rev-parse HEAD && cat", r#", "after_script": ["false"]"#),
        HOST_DRIVER,
    );
    let ran = place.run(place.args()).await;
    assert_eq!(ran.number, Ok(0), "{}", ran.log);
    let calls = place.read("calls.unit");
    let stages: Vec<_> = calls.lines().map(|line| line.split(' ').next_back().unwrap()).collect();
    let expected = [
        "config",
        "prepare",
        "prepare_script",
        "get_sources",
        "build_script",
        "after_script",
        "cleanup_file_variables",
        "cleanup",
    ];
    assert_eq!(stages, expected);
    assert_eq!(place.read("status.build_script"), "running\n");
    assert_eq!(place.read("status.after_script"), "success\n");
    assert!(place.read("files.unit").contains("response.json"), "{}", place.read("files.unit"));
    assert!(ran.log.contains("unit | $ test -f ci.yml"), "{}", ran.log);
    place.assert_nothing_left();
}

#[tokio::test]
async fn a_scripts_exit_code_fails_the_job_unless_it_is_allowed() {
    for (more, result, number) in [
        ("", "failed", 1),
        (r#", "allow_failure": true"#, "allowed to fail", 0),
        (r#", "allow_failure": {"exit_codes": [37]}"#, "allowed to fail", 0),
        (r#", "allow_failure": {"exit_codes": [3]}"#, "failed", 1),
    ] {
        let place = Place::new(&one_job("exit 37", more), HOST_DRIVER);
        let ran = place.run(place.args()).await;
        assert_eq!(ran.number, Ok(number), "{more}: {}", ran.log);
        assert_eq!(ran.job("unit")["result"], result, "{more}");
        assert_eq!(ran.job("unit")["exit_code"], 37, "{more}");
    }
}

#[tokio::test]
async fn a_system_failure_has_no_exit_code_and_is_not_allowed_by_one() {
    let more = r#", "variables": {"RUN_EXIT": "2"}, "allow_failure": {"exit_codes": [1, 2]}"#;
    let place = Place::new(&one_job("exit 37", more), HOST_DRIVER);
    let ran = place.run(place.args()).await;
    assert_eq!(ran.number, Ok(1), "{}", ran.log);
    assert_eq!(ran.job("unit")["exit_code"], serde_json::Value::Null);
    assert_eq!(ran.job("unit")["reason"], "build_script ended with 2");
}

#[tokio::test]
async fn prepare_is_tried_three_times_but_not_where_the_job_is_to_blame() {
    for (exit, tries) in [("1", 1), ("2", 3)] {
        let more = format!(r#", "variables": {{"PREPARE_EXIT": "{exit}"}}"#);
        let place = Place::new(&one_job("true", &more), HOST_DRIVER);
        let ran = place.run(place.args()).await;
        assert_eq!(ran.number, Ok(1), "{}", ran.log);
        let calls = place.read("calls.unit");
        assert_eq!(calls, "config\nprepare\ncleanup\n".repeat(tries), "exit {exit}");
    }
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_stopped_and_cleaned_up_at_once() {
    let more = r#", "timeout": "5 seconds", "after_script": ["true"]"#;
    let place = Place::new(&one_job("sleep 600", more), HOST_DRIVER);
    let ran = place.run(place.args()).await;
    assert_eq!(ran.number, Ok(1), "{}", ran.log);
    assert_eq!(ran.job("unit")["reason"], "took longer than its timeout");
    let calls = place.read("calls.unit");
    assert!(!calls.contains("after_script"), "{calls}");
    assert!(calls.ends_with("build_script\ncleanup\n"), "{calls}");
}

#[tokio::test]
async fn later_stages_wait_and_follow_what_came_before() {
    let file = r#"{"stages": ["a", "b", "c"],
        "fails": {"stage": "a", "script": ["false"]},
        "beside": {"stage": "a", "script": ["true"]},
        "never": {"stage": "b", "script": ["true"]},
        "rescue": {"stage": "b", "when": "on_failure", "script": ["true"]},
        "always": {"stage": "c", "when": "always", "script": ["true"]},
        "by-hand": {"stage": "c", "when": "manual", "script": ["true"]}}"#;
    let place = Place::new(file, HOST_DRIVER);
    let ran = place.run(place.args()).await;
    assert_eq!(ran.number, Ok(1), "{}", ran.log);
    for (name, result) in [
        ("fails", "failed"),
        ("beside", "passed"),
        ("never", "skipped"),
        ("rescue", "passed"),
        ("always", "passed"),
        ("by-hand", "skipped"),
    ] {
        assert_eq!(ran.job(name)["result"], result, "{name}");
    }
}

/// `gitlab-runner` as far as these jobs need it, with curl.
const UPLOADER: &str = r#"#!/bin/bash
test "$1" = --version && exit 0
verb=$1; shift
while [ $# -gt 0 ]; do case "$1" in
  --url) url=$2 ;; --token) token=$2 ;; --id) id=$2 ;; --path) path=$2 ;;
  --artifact-type) type=$2 ;; --artifact-format) format=$2 ;; esac; shift 2; done
case "$verb" in
artifacts-downloader) curl -sf -H "JOB-TOKEN: $token" "$url/api/v4/jobs/$id/artifacts" -o "got.$id" ;;
artifacts-uploader)
  test "$format" = gzip && { gzip -c "$path" > up.gz; path=up.gz; }
  curl -sf -H "JOB-TOKEN: $token" -F "file=@$path" \
    "$url/api/v4/jobs/$id/artifacts?artifact_type=$type&artifact_format=$format" ;;
esac
"#;

#[tokio::test]
async fn artifacts_and_dotenv_variables_reach_later_jobs() {
    let file = r#"{"stages": ["a", "b"],
        "make": {"stage": "a", "script": ["echo payload > out", "echo 'COLOUR=dark blue' > .vars"],
            "artifacts": {"paths": ["out"], "reports": {"dotenv": ".vars"}}},
        "take": {"stage": "b", "variables": {"SHADE": "<$COLOUR>"},
            "script": ["grep payload got.*", "test \"$COLOUR\" = 'dark blue'", "test \"$SHADE\" = '<dark blue>'"]},
        "without": {"stage": "b", "dependencies": [],
            "script": ["test -z \"$COLOUR\"", "! ls got.*"]}}"#;
    let place = Place::new(file, HOST_DRIVER);
    place.executable("bin/gitlab-runner", UPLOADER);
    let ran = place.run(place.args()).await;
    assert_eq!(ran.number, Ok(0), "{}", ran.log);
    assert!(place.read("calls.make").contains("upload_artifacts_on_success"));
    assert!(!place.read("calls.without").contains("download_artifacts"));
    place.assert_nothing_left();
}

#[tokio::test]
async fn artifacts_are_never_lost_silently() {
    let file = one_job("touch out", r#", "artifacts": {"paths": ["out"]}"#);
    let place = Place::new(&file, HOST_DRIVER);
    let ran = place.run(place.args()).await;
    assert_eq!(ran.number, Ok(1), "{}", ran.log);
    assert!(ran.log.contains("Missing gitlab-runner"), "{}", ran.log);
}

#[tokio::test]
async fn odd_values_arrive_as_they_are() {
    let odd = "it's \"$HOME\" `id` \\ ü\nline two";
    let script = "printf %s \"$ODD\" > \"$OUT\"";
    let place = Place::new(&one_job(script, ""), HOST_DRIVER);
    let mut args = place.args();
    args.variables.push(("OUT".to_owned(), place.path("odd").display().to_string()));
    let file = place.path("secrets");
    std::fs::write(&file, "CI_REGISTRY=registry.example\nCI_REGISTRY_PASSWORD=pass word$1\n")
        .unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    args.variables_file = Some(file);
    // `$` in a value stands for a variable, as in GitLab; a doubled one is a dollar sign.
    args.variables.push(("ODD".to_owned(), odd.replace('$', "$$")));
    let ran = place.run(args).await;
    assert_eq!(ran.number, Ok(0), "{}", ran.log);
    assert_eq!(place.read("odd"), odd);
}

#[tokio::test]
async fn a_variables_file_that_others_can_read_is_refused() {
    let place = Place::new(&one_job("true", ""), HOST_DRIVER);
    let file = place.path("secrets");
    std::fs::write(&file, "A=1\n").unwrap();
    let mut args = place.args();
    args.variables_file = Some(file);
    let error = place.run(args).await.number.unwrap_err();
    assert!(error.contains("chmod 600"), "{error}");
}

#[tokio::test]
async fn a_cache_lasts_from_pipeline_to_pipeline() {
    let script =
        "cat deps/* || true; mkdir -p deps; echo from $CI_PIPELINE_ID > deps/$CI_PIPELINE_ID";
    let cache = r#", "cache": {"key": "../$CI_COMMIT_REF_NAME x", "paths": ["deps/"]}"#;
    let place = Place::new(&one_job(script, cache), HOST_DRIVER).with_gitlab_runner();
    let first = place.run(place.args()).await;
    assert_eq!(first.number, Ok(0), "{}", first.log);
    assert!(first.log.contains("Failed to extract cache"), "{}", first.log);
    assert!(first.log.contains("Created cache"), "{}", first.log);
    assert!(place.path("cache/group/project/main x/cache.zip").is_file(), "{}", first.log);
    let second = place.run(place.args()).await;
    assert!(second.log.contains("Successfully extracted cache"), "{}", second.log);
    assert!(second.log.contains("unit | from "), "{}", second.log);
}

#[tokio::test]
async fn a_caches_policy_and_outcome_say_what_is_done_with_it() {
    for (cache, script, stages) in [
        (r#""policy": "pull""#, "true", "restore_cache"),
        (r#""policy": "push""#, "true", "archive_cache"),
        (r#""when": "on_failure""#, "true", "restore_cache"),
        (r#""when": "always""#, "false", "restore_cache archive_cache_on_failure"),
        (r#""fallback_keys": ["b"]"#, "false", "restore_cache"),
    ] {
        let cache = format!(r#", "cache": {{"paths": ["a"], {cache}}}"#);
        let place = Place::new(&one_job(script, &cache), HOST_DRIVER).with_gitlab_runner();
        let ran = place.run(place.args()).await;
        assert_eq!(ran.number, Ok(u8::from(script == "false")), "{}", ran.log);
        let calls = place.read("calls.unit");
        let names = calls.lines().filter_map(|line| line.split(' ').next_back());
        let seen: Vec<_> = names.filter(|name| name.contains("cache")).collect();
        assert_eq!(seen.join(" "), stages, "{cache}");
    }
}
