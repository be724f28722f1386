//! What `local` must not let pass: a gate nobody opened, a report GitLab refuses, a job that is not there,
//! a secret in the log.

use std::os::unix::fs::PermissionsExt;

use super::local_support::{HOST_DRIVER, Place};

#[tokio::test]
async fn later_stages_wait_for_a_manual_job_that_may_not_fail() {
    for (gate, next, number, result) in [
        (r#""rules": [{"when": "manual"}]"#, "skipped", 1, "blocked"),
        (r#""when": "manual", "allow_failure": false"#, "skipped", 1, "blocked"),
        (r#""rules": [{"when": "manual", "allow_failure": true}]"#, "passed", 0, "passed"),
        (r#""when": "manual""#, "passed", 0, "passed"),
    ] {
        let file = format!(
            r#"{{"stages": ["a", "b"], "gate": {{"stage": "a", "script": ["echo open"], {gate}}},
                "next": {{"stage": "b", "script": ["echo on"]}},
                "report": {{"stage": "b", "when": "always", "script": ["echo anyway"]}}}}"#
        );
        let place = Place::new(&file, HOST_DRIVER);
        let ran = place.run(place.args()).await;
        assert_eq!(ran.number, Ok(number), "{gate}: {}", ran.log);
        assert_eq!(ran.job("next")["result"], next, "{gate}");
        assert_eq!(ran.job("report")["result"], "passed", "{gate}");
        assert_eq!(ran.summary["result"], result, "{gate}");
    }
}

#[tokio::test]
async fn a_manual_job_runs_where_it_is_named() {
    let file = r#"{"gate": {"script": ["echo open"], "rules": [{"when": "manual"}]}}"#;
    let place = Place::new(file, HOST_DRIVER);
    let mut args = place.args();
    args.jobs = vec!["gate".to_owned()];
    let ran = place.run(args).await;
    assert_eq!(
        (ran.number.clone(), &ran.job("gate")["result"]),
        (Ok(0), &"passed".into()),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_job_that_its_rules_leave_out_cannot_look_like_one_that_passed() {
    let file = r#"{"there": {"script": ["true"]},
        "gone": {"script": ["true"], "rules": [{"if": "$CI_COMMIT_BRANCH == 'other'"}]}}"#;
    let place = Place::new(file, HOST_DRIVER);
    let mut args = place.args();
    args.jobs = vec!["gone".to_owned()];
    let error = place.run(args).await.number.unwrap_err();
    assert!(error.contains("\"gone\" is not in this pipeline: its rules leave it out"), "{error}");
    assert!(!place.path("calls.gone").exists());
}

#[tokio::test]
async fn a_pipeline_without_jobs_is_none() {
    let file = r#"{"gone": {"script": ["true"], "rules": [{"when": "never"}]}}"#;
    let place = Place::new(file, HOST_DRIVER);
    let error = place.run(place.args()).await.number.unwrap_err();
    assert!(error.contains("no job is in this pipeline"), "{error}");
}

const UPLOADER: &str = r#"#!/bin/bash
test "$1" = --version && exit 0
while [ $# -gt 0 ]; do case "$1" in
  --url) url=$2 ;; --token) token=$2 ;; --id) id=$2 ;; --path) path=$2 ;; esac; shift; done
gzip -c "$path" > up.gz
curl -s --fail-with-body --noproxy '*' -H "JOB-TOKEN: $token" -F file=@up.gz \
  "$url/api/v4/jobs/$id/artifacts?artifact_type=dotenv&artifact_format=gzip"
"#;

#[tokio::test]
async fn a_dotenv_report_that_gitlab_refuses_fails_its_job() {
    let file = r#"{"stages": ["a", "b"],
        "make": {"stage": "a", "script": ["echo '# no' > vars"],
            "artifacts": {"reports": {"dotenv": "vars"}}},
        "take": {"stage": "b", "script": ["true"]}}"#;
    let place = Place::new(file, HOST_DRIVER);
    place.executable("bin/gitlab-runner", UPLOADER);
    let ran = place.run(place.args()).await;
    assert_eq!(ran.job("make")["result"], "failed", "{}", ran.log);
    assert_eq!(ran.job("take")["result"], "skipped", "{}", ran.log);
    assert!(ran.log.contains("line 1 of the dotenv report"), "{}", ran.log);
}

/// The runner masks what GitLab marked, whatever the driver does; also over the borders of writes.
#[tokio::test]
async fn masked_variables_never_reach_the_log() {
    let script =
        "echo $LONG_SECRET $SHORT; printf hunter2; sleep 0.2; echo hunter2; echo $CI_JOB_TOKEN";
    let file = format!(r#"{{"job": {{"script": ["{script}", "cat .git/config"]}}}}"#);
    let place = Place::new(&file, HOST_DRIVER);
    let secrets = place.path("secrets");
    std::fs::write(&secrets, "LONG_SECRET=hunter2hunter2\nSHORT=yes\n").unwrap();
    std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut args = place.args();
    args.variables_file = Some(secrets);
    let ran = place.run(args).await;
    assert_eq!(ran.number, Ok(0), "{}", ran.log);
    assert!(
        ran.log.contains("job | [MASKED] yes\njob | [MASKED]\njob | [MASKED]\n"),
        "{}",
        ran.log
    );
    assert!(!ran.log.contains("hunter2hunter2"), "{}", ran.log);
    assert!(!ran.log.contains("gitlab-ci-token"), "{}", ran.log);
}
