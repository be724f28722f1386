//! Images with one shell or another, and what the runner is told to write scripts for.

use crate::support::job_json::FakeJob;
use crate::support::real::{BUSYBOX, Host, assert_says, busybox, stderr};
use crate::support::running::{FailureReason, JobStatus};

const DASH: &str = "longshore-test/dash:1";
const PWSH: &str = "longshore-test/pwsh:1";
const WARNING: &str = "the only shell of the job's image is dash";

#[test]
fn config_tells_the_runner_which_shell_to_write_for() {
    for shell in ["sh", "bash", "pwsh"] {
        let host = Host::new().top("shell", &format!("{shell:?}"));
        let answer = host.call(&busybox(["true"]), &["config"]);
        let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        assert_eq!(answer["shell"], shell);
    }
    let host = Host::new().top("shell", "\"powershell\"");
    let refused = host.call(&busybox(["true"]), &["config"]);
    assert_eq!(refused.status.code(), Some(2));
    assert_says(&stderr(&refused), &["a shell of Windows", "write \"pwsh\""]);
}

#[test]
fn a_project_may_have_a_shell_of_its_own() {
    let rule = "[[project]]\nprojects = [\"group/*\"]\nshell = \"pwsh\"\n";
    let host = Host::new().table(rule);
    let shell = |job: &FakeJob| {
        let answer = host.call(job, &["config"]);
        let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        answer["shell"].as_str().unwrap().to_owned()
    };
    assert_eq!(shell(&busybox(["true"])), "pwsh");
    assert_eq!(shell(&busybox(["true"]).project(9, "other/project")), "bash");
}

#[test]
fn dash_reads_scripts_only_with_posix_quotes_and_is_warned_of() {
    let job = || FakeJob::new().image(DASH).script(["echo 'it'\"'\"'s'", "readlink /bin/sh"]);
    let plain = Host::new().run(&job());
    assert_eq!(plain.status, JobStatus::Failed, "{}", plain.trace_text());
    assert_eq!(plain.failure_reason, Some(FailureReason::ScriptFailure));
    assert_says(&plain.call("prepare").stdout(), &[WARNING, "FF_POSIXLY_CORRECT_ESCAPES"]);
    let posix = Host::new().run(&job().variable("FF_POSIXLY_CORRECT_ESCAPES", "true"));
    assert_says(&posix.assert_success().trace_text(), &["it's\n", "dash\n"]);
    assert!(!posix.trace_text().contains(WARNING));
}

#[test]
fn powershell_reads_the_scripts_of_both_containers() {
    let host = Host::new().top("shell", "\"pwsh\"").docker("helper_image", &format!("{PWSH:?}"));
    let tell = "echo \"pwsh=$READ_BY_PWSH\"";
    let job = FakeJob::new()
        .image(PWSH)
        .script([tell, "exit 3"])
        .sources("git://127.0.0.1:1/none.git", &"0".repeat(40))
        .stage_script("get_sources", tell);
    let result = host.run(&job);
    assert_eq!(result.exit_code, Some(3), "{}", result.trace_text());
    for stage in ["get_sources", "build_script"] {
        assert_says(&result.call(stage).stdout(), &["pwsh=yes\n"]);
    }
}

#[test]
fn an_image_without_powershell_is_refused_before_any_script() {
    let host = Host::new().top("shell", "\"pwsh\"");
    let result = host.run(&busybox(["true"]));
    assert_eq!(result.failure_reason, Some(FailureReason::ScriptFailure));
    assert_says(&result.trace_text(), &["has no pwsh, so no script can run in it"]);
    // The helper's image is the operator's.
    let job = FakeJob::new().image(PWSH).sources("git://127.0.0.1:1/none.git", &"0".repeat(40));
    let result = host.docker("helper_image", &format!("{BUSYBOX:?}")).run(&job);
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    assert_says(&result.trace_text(), &["the helper image", "has no pwsh", "helper_image"]);
}

#[test]
fn windows_is_refused_with_one_clear_line() {
    let mut image = crate::support::job_json::image_value(BUSYBOX);
    image["executor_opts"]["docker"]["platform"] = "windows/amd64".into();
    let result = Host::new().run(&FakeJob::new().image_value(image));
    assert_eq!(result.failure_reason, Some(FailureReason::ScriptFailure));
    assert_says(&result.trace_text(), &["this runner runs Linux containers only"]);
    assert!(!result.call_names().contains(&"prepare".to_owned()), "{:?}", result.call_names());
}

#[test]
fn what_other_executors_do_natively_is_told_in_one_line() {
    let job = busybox(["echo \"network=$LONGSHORE_NETWORK\""])
        .variable("FF_NETWORK_PER_BUILD", "true")
        .edit_json(|job| job["run"] = serde_json::json!([{"name": "one", "script": "true"}]));
    let result = Host::new().run(&job);
    result.assert_success();
    let told = result.call("prepare").stdout();
    assert_says(&told, &["its name is in LONGSHORE_NETWORK", "native steps need another executor"]);
    let plain = Host::new().run(&busybox(["true"]));
    assert_eq!(plain.assert_success().call("prepare").stdout(), "");
}

#[test]
fn a_traced_job_is_told_where_its_time_went() {
    let result = Host::new().run(&busybox(["true"]).variable("CI_DEBUG_TRACE", "true"));
    result.assert_success();
    assert_says(&result.call("prepare").stdout(), &["longshore: timings: images and secrets "]);
    assert_says(&result.call("build_script").stdout(), &["longshore: timings: attach "]);
}
