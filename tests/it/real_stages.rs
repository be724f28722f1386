//! Each stage a runner may ask for, on the real daemon: which container it runs in, what its failure, its
//! retries and its own time limit come to, and what the flags that change scripts mean.

use std::process::Command;
use std::time::Duration;

use crate::support::call::Exit;
use crate::support::job_json::FakeJob;
use crate::support::names::{OwnImage, unique};
use crate::support::real::{BUSYBOX, Host, assert_says, await_gone, busybox, left_of, stderr};
use crate::support::running::{FailureReason, JobResult, JobStatus};

const NOWHERE: &str = "git://127.0.0.1:1/none.git";

/// A job with a helper container, whose image has git.
fn with_helper(script: &str) -> FakeJob {
    busybox([script]).sources(NOWHERE, &"0".repeat(40)).stage_script("get_sources", "true\n")
}

/// Stage, and whether it runs in the user's image. The last four are names no runner of today sends.
const STAGES: [(&str, bool); 20] = [
    ("prepare_script", false),
    ("get_sources", false),
    ("clear_worktree", false),
    ("restore_cache", false),
    ("download_artifacts", false),
    ("build_script", true),
    ("step_script", true),
    ("step_release", true),
    ("step_accessibility", true),
    ("step_run", true),
    ("after_script", true),
    ("archive_cache", false),
    ("archive_cache_on_failure", false),
    ("upload_artifacts_on_success", false),
    ("upload_artifacts_on_failure", false),
    ("cleanup_file_variables", false),
    ("step_brand_new", true),
    ("brand_new", false),
    ("prepare_executor", false),
    ("stepping", false),
];

#[test]
fn each_stage_runs_where_it_belongs_and_answers_as_its_script_does() {
    let (host, job) = (Host::new(), with_helper("true"));
    let prepared = host.call(&job, &["prepare"]);
    assert!(prepared.status.success(), "{}", stderr(&prepared));
    let (script, code_file) = (host.path("script"), host.path("build_exit_code"));
    let text = "#!/bin/sh\ncommand -v git >/dev/null && echo in=helper || echo in=job\n\
                echo disposable=$CI_DISPOSABLE_ENVIRONMENT\nexit $((code))\n";
    let mut seen = Vec::new();
    for (stage, _) in STAGES {
        for code in ["0", "41"] {
            std::fs::write(&script, text.replace("code", code)).unwrap();
            let output = host.call(&job, &["run", script.to_str().unwrap(), stage]);
            let told = std::fs::read_to_string(&code_file).unwrap_or_default();
            let stdout = String::from_utf8(output.stdout).unwrap();
            // Only user stages are followed by a line of ours on what they used.
            let own =
                stdout.split_inclusive('\n').filter(|line| !line.starts_with("longshore: used "));
            seen.push((stage, code, output.status.code(), told, own.collect::<String>()));
        }
    }
    assert!(host.call(&job, &["cleanup"]).status.success());
    await_gone(&job);
    let expected = STAGES.iter().flat_map(|(stage, user)| {
        let out = if *user { "in=job\ndisposable=true\n" } else { "in=helper\ndisposable=\n" };
        [("0", 0, ""), ("41", 1, "41")]
            .map(|(code, exit, told)| (*stage, code, Some(exit), told.to_owned(), out.to_owned()))
    });
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[test]
fn a_step_that_fails_ends_the_job_with_its_code_and_skips_the_rest() {
    let job = busybox(["echo built >built"])
        .step("release", ["cat built", "exit 7"])
        .step("brand_new", ["echo never"])
        .after_script(["echo \"afterwards $CI_JOB_STATUS\""]);
    let result = Host::new().run(&job);
    assert_eq!((result.status, result.exit_code), (JobStatus::Failed, Some(7)));
    assert_says(&result.call("step_release").stdout(), &["built\n"]);
    assert_says(&result.call("after_script").stdout(), &["afterwards failed\n"]);
    assert!(!result.call_names().contains(&"run step_brand_new".to_owned()));
}

/// A delivery of this project, whose pipeline's images are on the host as `test` and as `latest`.
#[test]
fn a_delivery_whose_step_fails_prunes_nothing() {
    let project = unique();
    let repository = format!("registry.example.com/group/{project}");
    let [test, latest] = ["test", "latest"].map(|tag| format!("{repository}:{tag}"));
    let made = OwnImage::make();
    for tag in [&test, &latest] {
        let tagged = Command::new("docker").args(["tag", &made.tag, tag]).status().unwrap();
        assert!(tagged.success());
    }
    let kept = [OwnImage { tag: test.clone() }, OwnImage { tag: latest }];
    let host = Host::new();
    let delivery = |step: &str| {
        busybox(["true"])
            .stage("delivery")
            .project(993, &format!("group/{project}"))
            .registry_image(&repository)
            .step("release", [step])
    };
    let failed = host.run(&delivery("exit 3"));
    assert_eq!(failed.exit_code, Some(3));
    assert!(!failed.trace_text().contains("longshore: prunes"), "{}", failed.trace_text());
    let passed = host.run(&delivery("true"));
    let told = format!("longshore: prunes {test}\n");
    assert_says(&passed.assert_success().trace_text(), &[&told]);
    drop((made, kept));
}

/// The stages the runner repeats, with the variable that says how often. Each attempt but the last fails.
fn repeated(stage: &str, variable: &str) -> (FakeJob, JobResult) {
    let script = "#!/bin/sh\nn=$(cat /tmp/attempts 2>/dev/null || echo 0)\nn=$((n + 1))\n\
                  echo $n >/tmp/attempts\necho attempt=$n in=$(command -v git >/dev/null && echo helper)\n\
                  [ $n -ge 3 ] || exit 9\n";
    let job = with_helper("echo the script ran")
        .cache("key", &["cached"])
        .dependency(7, "token-of-a-dependency", "earlier")
        .variable(variable, "3");
    let job = ["restore_cache", "download_artifacts", "archive_cache"]
        .iter()
        .fold(job, |job, stage| job.stage_script(stage, "true\n"))
        .stage_script(stage, script);
    let result = Host::new().run(&job);
    (job, result)
}

#[test]
fn each_attempt_of_a_repeated_stage_is_answered_alike() {
    for (stage, variable) in [
        ("get_sources", "GET_SOURCES_ATTEMPTS"),
        ("restore_cache", "RESTORE_CACHE_ATTEMPTS"),
        ("download_artifacts", "ARTIFACT_DOWNLOAD_ATTEMPTS"),
    ] {
        let (_, result) = repeated(stage, variable);
        result.assert_success();
        let of_stage = result.calls.iter().filter(|call| call.stage.as_deref() == Some(stage));
        let seen: Vec<_> = of_stage.map(|call| (call.exit.clone(), call.stdout())).collect();
        let attempt = |number: u32| format!("attempt={number} in=helper\n");
        let expected =
            [(Exit::Code(1), attempt(1)), (Exit::Code(1), attempt(2)), (Exit::Code(0), attempt(3))];
        assert_eq!(seen, expected, "{stage}");
        assert_says(&result.trace_text(), &["the script ran\n"]);
    }
}

#[test]
fn a_cleared_worktree_is_the_job_users_again() {
    let fetch = "#!/bin/sh\ncd /builds/group/project\necho \"found=$(ls -A | tr '\\n' ' ')\"\n\
                 touch left .hidden\n[ -f /tmp/once ] || { touch /tmp/once; exit 1; }\n";
    let job = FakeJob::new()
        .image("longshore-test/user:1")
        .sources(NOWHERE, &"0".repeat(40))
        .stage_script("get_sources", fetch)
        .variable("GET_SOURCES_ATTEMPTS", "2")
        .script(["stat -c '%n=%u' . left .hidden"]);
    let result = Host::new().run(&job);
    result.assert_success();
    let calls = ["run get_sources", "run clear_worktree", "run get_sources"];
    assert_eq!(result.call_names()[3..6], calls);
    assert_says(&result.call("get_sources").stdout(), &["found=\n"]);
    assert_says(&result.call("build_script").stdout(), &[".=1000\nleft=1000\n.hidden=1000\n"]);
}

#[test]
fn an_after_script_out_of_its_own_time_is_ended_and_the_job_goes_on() {
    let job = busybox(["echo done"])
        .variable("RUNNER_AFTER_SCRIPT_TIMEOUT", "700ms")
        .after_script(["echo begun", "sleep 300"])
        .file("KEY", "content");
    let result = Host::new().run(&job);
    result.assert_success();
    let after = result.call("after_script");
    assert!(after.terminated.is_some(), "{after:?}");
    // The driver survived its TERM and answered; it was not killed.
    assert_eq!(after.exit, Exit::Code(1), "{}", after.both());
    assert_says(&after.stdout(), &["begun\n"]);
    assert_eq!(result.call("cleanup_file_variables").exit, Exit::Code(0));
}

#[test]
fn a_failing_after_script_counts_only_where_the_job_says_so() {
    let job = || busybox(["true"]).after_script(["exit 5"]);
    let result = Host::new().run(&job());
    assert_eq!(result.assert_success().call("after_script").exit, Exit::Code(1));
    let result = Host::new().run(&job().variable("AFTER_SCRIPT_IGNORE_ERRORS", "false"));
    assert_eq!((result.status, result.exit_code), (JobStatus::Failed, Some(5)));
}

#[test]
fn what_a_script_puts_into_the_environment_file_is_there_in_later_stages() {
    let job = busybox(["echo LATER=from-the-script >>\"$GITLAB_ENV\""])
        .step("release", ["echo \"step=$LATER\""])
        .after_script(["echo \"after=$LATER\""]);
    let result = Host::new().run(&job);
    result.assert_success();
    assert_says(&result.trace_text(), &["step=from-the-script\n", "after=from-the-script\n"]);
}

#[test]
fn file_variables_are_removed_before_the_job_ends() {
    let (host, job) = (Host::new(), busybox(["ls -l \"$KEY\""]).file("KEY", "content"));
    let job = job.stage_script(
        "cleanup_file_variables",
        "#!/bin/sh\nrm -fv /builds/group/project.tmp/KEY\n",
    );
    let result = host.run(&job);
    result.assert_success();
    assert_says(&result.call("cleanup_file_variables").stdout(), &["removed"]);
    assert!(left_of(&job).is_empty());
}

/// Flags that change the scripts' shape, in images whose shells differ.
#[test]
fn scripts_of_each_shape_run_in_each_shell() {
    let shapes: [&[&str]; 6] = [
        &[],
        &["FF_USE_LEGACY_BASH_EVAL"],
        &["FF_USE_NEW_BASH_EVAL_STRATEGY"],
        &["FF_POSIXLY_CORRECT_ESCAPES"],
        &["FF_SCRIPT_SECTIONS"],
        &["FF_POSIXLY_CORRECT_ESCAPES", "FF_USE_LEGACY_BASH_EVAL", "FF_SCRIPT_SECTIONS"],
    ];
    let script =
        ["printf '%s\\n' 'ü \"q\" $HOME `x` \\'", "if true\nthen\n  echo several lines\nfi"];
    let host = Host::new();
    for image in [BUSYBOX, "longshore-git:latest"] {
        for flags in shapes {
            let job = FakeJob::new().image(image).script(script).variable("NAME", "it's ü $");
            let job = flags.iter().fold(job, |job, flag| job.variable(flag, "true"));
            let result = host.run(&job.after_script(["printf 'name=<%s>\\n' \"$NAME\""]));
            result.assert_success();
            let expected = ["ü \"q\" $HOME `x` \\\n", "several lines\n", "name=<it's ü $>\n"];
            assert_says(&result.trace_text(), &expected);
        }
    }
}

#[test]
fn bash_is_preferred_where_the_image_has_it() {
    let host = Host::new();
    let job =
        |image: &str| FakeJob::new().image(image).script(["echo \"bash=<${BASH_VERSION%%.*}>\""]);
    assert_says(
        &host.run(&job("longshore-git:latest")).assert_success().trace_text(),
        &["bash=<5>"],
    );
    assert_says(&host.run(&job(BUSYBOX)).assert_success().trace_text(), &["bash=<>"]);
}

#[test]
fn a_traced_script_shows_its_commands_and_no_masked_value_of_ours() {
    let job = busybox(["echo \"value: $PASSWORD\""])
        .masked("PASSWORD", "masked-by-gitlab-value")
        .variable("CI_DEBUG_TRACE", "true");
    let result = Host::new().run(&job);
    result.assert_success();
    assert_says(&result.call("build_script").stderr(), &["+ echo 'value: [MASKED]'"]);
    assert!(!result.trace_text().contains("masked-by-gitlab-value"), "{}", result.trace_text());
}

#[test]
fn a_job_out_of_time_in_its_after_script_is_cleaned_up() {
    let job = busybox(["true"]).after_script(["sleep 300"]).timeout(Duration::from_secs(6));
    let result = Host::new().run(&job);
    assert_eq!(result.failure_reason, Some(FailureReason::JobExecutionTimeout));
    assert!(left_of(&job).is_empty());
}
