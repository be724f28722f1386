//! What a job or its surroundings can have wrong: each gives one clear message, fails with the right
//! class, and leaves nothing behind.

use std::process::Output;

use crate::support::blame::{blames_the_host, blames_the_job, message};
use crate::support::call::Exit;
use crate::support::job_json::{FakeJob, image_value};
use crate::support::real::{
    BINARY, BUSYBOX, Host, assert_says, await_gone, busybox, left_of, stderr,
};
use crate::support::running::FailureReason;

fn fails(output: &Output, words: &[&str]) {
    assert_eq!(output.status.code(), Some(2), "{}", stderr(output));
    assert_says(&stderr(output), words);
    assert_eq!(stderr(output).matches("ERROR: ").count(), 1);
}

#[test]
fn no_settings_file() {
    let host = Host::new();
    std::fs::remove_file(host.settings()).unwrap();
    let path = host.settings().display().to_string();
    let words = [
        "failed to read the settings",
        &path,
        "No such file",
        "longshore.toml.example",
        "--settings",
    ];
    blames_the_host(&host, &busybox(["true"]), &words);
}

#[test]
fn settings_that_cannot_be_read() {
    let host = Host::new();
    std::fs::remove_file(host.settings()).unwrap();
    std::fs::create_dir(host.settings()).unwrap();
    let words = ["failed to read the settings", "Is a directory"];
    blames_the_host(&host, &busybox(["true"]), &words);
}

#[test]
fn an_unknown_key_in_the_settings() {
    let host = Host::new().docker("helper_imgae", "\"x\"");
    let words = ["longshore.toml, line 6", "helper_imgae", "did you mean `helper_image`"];
    blames_the_host(&host, &busybox(["true"]), &words);
}

#[test]
fn a_wrong_type_in_the_settings() {
    let host = Host::new().docker("pull_policy", "3");
    let words = ["longshore.toml, line 7", "pull_policy", "expected"];
    blames_the_host(&host, &busybox(["true"]), &words);
}

#[test]
fn settings_that_contradict_each_other() {
    let host =
        Host::new().table("[secrets.KEY]\npath = \"kv/x\"\nfield = \"y\"\nprojects = [\"**\"]\n");
    blames_the_host(&host, &busybox(["true"]), &["secrets", "there is no [vault]"]);
}

#[test]
fn called_by_hand_without_a_job() {
    let host = Host::new();
    for words in
        [&["config"][..], &["prepare"], &["run", "/dev/null", "build_script"], &["cleanup"]]
    {
        let output = host.bare(words).output().unwrap();
        fails(&output, &["JOB_RESPONSE_FILE is not set", "GitLab Runner", "longshore local"]);
    }
}

#[test]
fn called_without_variables() {
    let host = Host::new();
    let response = host.path("response.json");
    std::fs::write(&response, busybox(["true"]).response_bytes()).unwrap();
    let output = host.bare(&["prepare"]).env("JOB_RESPONSE_FILE", response).output().unwrap();
    fails(&output, &["no CUSTOM_ENV_ variable is set", "config.toml.example"]);
}

#[test]
fn a_job_file_that_is_not_there() {
    let host = Host::new();
    let mut command = host.command(&busybox(["true"]), &["prepare"]);
    let output = command.env("JOB_RESPONSE_FILE", host.path("nothing")).output().unwrap();
    fails(&output, &["failed to read the job", "nothing", "No such file"]);
}

#[test]
fn a_job_cut_short() {
    let whole = busybox(["true"]).response_bytes();
    let job = busybox(["true"]).broken_response(&whole[..whole.len() / 2]);
    blames_the_host(&Host::new(), &job, &["the job JSON is cut off after", "TMPDIR"]);
}

#[test]
fn a_job_of_another_shape_is_told_without_its_values() {
    let job = busybox(["true"]).edit_json(|json| json["job_info"]["project_id"] = "canary".into());
    let words = ["the job JSON has another shape", "expected u64", "17.9"];
    blames_the_host(&Host::new(), &job, &words);
    assert!(!Host::new().runner().run(&job).trace_text().contains("canary"));
}

#[test]
fn an_image_that_is_not_there_and_may_not_be_pulled() {
    let host = Host::new().docker("pull_policy", "[\"never\"]");
    let job = FakeJob::new().image("longshore-test/nothing:1");
    let words = ["longshore-test/nothing:1 is not on this host", "`never`"];
    blames_the_job(&host, &job, &words);
}

#[test]
fn an_image_that_the_registry_does_not_give() {
    let registry = std::env::var("LONGSHORE_TEST_REGISTRY")
        .expect("LONGSHORE_TEST_REGISTRY names a registry that answers; script/test sets it");
    let image = format!("{registry}/nope:1");
    let words = [&format!("failed to pull {image}"), "credentials"];
    blames_the_job(&Host::new(), &FakeJob::new().image(&image), &words);
}

#[test]
fn an_image_that_is_not_allowed() {
    let host = Host::new().docker("allowed_images", "[\"team/*\", \"python:*\"]");
    let words = ["the image longshore-test/busybox:1 is not allowed", "allowed: team/*, python:*"];
    blames_the_job(&host, &busybox(["true"]), &words);
}

#[test]
fn a_pull_policy_that_is_not_allowed() {
    let mut image = image_value(BUSYBOX);
    image["pull_policy"] = serde_json::json!(["always"]);
    let words = ["the pull policy always is not allowed", "allowed:"];
    blames_the_job(&Host::new(), &FakeJob::new().image_value(image), &words);
}

#[test]
fn no_image_at_all() {
    blames_the_job(&Host::new(), &FakeJob::new(), &["names no image", "add `image:`"]);
}

#[test]
fn an_image_of_another_architecture() {
    let job = FakeJob::new().image("longshore-test/arm64:1");
    let words =
        ["longshore-test/arm64:1 is for linux/arm64", "this host runs linux/amd64", "choose"];
    blames_the_job(&Host::new(), &job, &words);
}

#[test]
fn an_image_without_a_shell() {
    let job = FakeJob::new().image("longshore-test/noshell:1");
    blames_the_job(&Host::new(), &job, &["noshell:1 has no shell", "use an image with"]);
}

#[test]
fn an_entrypoint_that_ends_at_once() {
    let job = FakeJob::new().image("longshore-test/entrypoint-exits:1");
    let words = [
        "the entrypoint of the image",
        "ended with 1 without running the script",
        "entrypoint: [\"\"]",
    ];
    blames_the_job(&Host::new(), &job, &words);
}

#[test]
fn a_user_that_the_image_does_not_have() {
    let mut image = image_value(BUSYBOX);
    image["executor_opts"]["docker"]["user"] = "somebody".into();
    let job = FakeJob::new().image_value(image);
    blames_the_job(&Host::new(), &job, &["somebody", "user"]);
}

#[test]
fn a_service_that_is_not_allowed() {
    let host = Host::new().docker("allowed_services", "[\"postgres:*\"]");
    let job = busybox(["true"]).service("postgres:17", "db").service("redis:7", "cache");
    blames_the_job(&host, &job, &["the service redis:7 is not allowed", "allowed: postgres:*"]);
}

#[test]
fn a_service_whose_program_is_not_there() {
    let mut service = image_value("longshore-test/service:1");
    service["entrypoint"] = serde_json::json!(["/no/such/program"]);
    let job = busybox(["true"]).service_value(service);
    let words = ["longshore-test/service:1", "/no/such/program", "entrypoint"];
    blames_the_job(&Host::new(), &job, &words);
}

#[test]
fn a_project_directory_elsewhere() {
    let job = busybox(["true"]).variable("GIT_CLONE_PATH", "/etc");
    blames_the_job(
        &Host::new(),
        &job,
        &["CI_PROJECT_DIR /etc is not below /builds", "GIT_CLONE_PATH"],
    );
}

/// A Vault that nobody asks: the refusals come before.
const VAULT: &str = r#"
[vault]
address = "https://127.0.0.1:1"
[vault.approle]
role_id_file = "/nonexistent/role_id"
secret_id_file = "/nonexistent/secret_id"
[secrets.DEPLOY_KEY]
path = "kv/deploy"
field = "key"
projects = ["group/project"]
protected_only = true
[secrets.FOREIGN_KEY]
path = "kv/foreign"
field = "key"
projects = ["other/*"]
"#;

#[test]
fn a_secret_that_is_not_this_jobs_to_have() {
    let host = Host::new().table(VAULT);
    let asks = |name: &str| busybox(["true"]).variable("LONGSHORE_SECRETS", name);
    for name in ["FOREIGN_KEY", "UNKNOWN_KEY"] {
        let words =
            [name, "is not one this job may have", "LONGSHORE_SECRETS", "allowed here: DEPLOY_KEY"];
        blames_the_job(&host, &asks(name), &words);
    }
    let unprotected = asks("DEPLOY_KEY").branch("topic", false);
    blames_the_job(
        &host,
        &unprotected,
        &["DEPLOY_KEY", "protected refs only", "allowed here: none"],
    );
}

#[test]
fn the_vaults_credentials_cannot_be_read() {
    let job = busybox(["true"]).variable("LONGSHORE_SECRETS", "DEPLOY_KEY");
    blames_the_host(&Host::new().table(VAULT), &job, &["/nonexistent/"]);
}

#[test]
fn a_daemon_that_is_not_there() {
    let host = Host::new().docker("host", "\"unix:///run/longshore-test-nobody.sock\"");
    let words =
        ["longshore-test-nobody.sock", "is the Docker daemon running", "systemctl status docker"];
    blames_the_host(&host, &busybox(["true"]), &words);
}

#[test]
fn a_daemon_that_listens_no_more() {
    let host = Host::new();
    let socket = host.path("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let host = host.docker("host", &format!("\"unix://{}\"", socket.display()));
    blames_the_host(&host, &busybox(["true"]), &["is the Docker daemon running"]);
}

#[test]
fn a_daemon_that_never_answers() {
    let host = Host::new();
    let socket = host.path("docker.sock");
    // It accepts (the kernel does) and says nothing.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let host = host.docker("host", &format!("\"unix://{}\"", socket.display()));
    let output = host.call(&busybox(["true"]), &["prepare"]);
    fails(&output, &["does not answer in time", "journalctl -u docker"]);
}

#[test]
fn a_run_directory_that_cannot_be_made() {
    let host = Host::new().top("run_dir", "\"/proc/nothing\"");
    let words = ["failed to lock an image in /proc/nothing/leases", "set run_dir"];
    blames_the_host(&host, &busybox(["true"]), &words);
}

#[test]
fn a_ledger_that_cannot_be_written_fails_no_job() {
    let host = Host::new().top("state_dir", "\"/proc/nothing\"");
    host.run(&busybox(["echo fine"])).assert_success();
}

#[test]
fn a_word_that_is_no_command() {
    let output = std::process::Command::new(BINARY).arg("clean-up").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_says(&stderr(&output), &["clean-up", "cleanup", "--help"]);
}

#[test]
fn a_job_container_removed_by_hand_during_a_stage() {
    let (host, job) = (Host::new(), busybox(["echo begun", "sleep 300"]));
    let running = host.runner().start(&job);
    running.wait_for_output("\nbegun", std::time::Duration::from_mins(1));
    let container = left_of(&job).into_iter().find(|name| name.ends_with("-job")).unwrap();
    let removed =
        std::process::Command::new("docker").args(["rm", "-f", &container]).output().unwrap();
    assert!(removed.status.success(), "{removed:?}");
    let result = running.join();
    await_gone(&job);
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    assert_eq!(result.call("build_script").exit, Exit::Code(2));
    // Whether the daemon still knows it at that moment is chance.
    assert_says(&message(&result), &[&container, "during the stage", "somebody"]);
}

#[test]
fn a_full_disk_fails_no_job() {
    let host = Host::new();
    std::fs::create_dir(host.path("state")).unwrap();
    // Each write to it ends as on a full disk.
    std::os::unix::fs::symlink("/dev/full", host.path("state/ledger.jsonl")).unwrap();
    host.run(&busybox(["echo fine"])).assert_success();
}

#[test]
fn file_variables_that_do_not_fit_into_memory() {
    let host = Host::new().table("[limits]\nfile_variables = \"64k\"\n");
    let result =
        host.run(&FakeJob::new().image("longshore-git:latest").file("LARGE", &"x".repeat(100_000)));
    assert_eq!(
        result.failure_reason,
        Some(FailureReason::ScriptFailure),
        "{}",
        result.trace_text()
    );
    assert_says(&result.trace_text(), &["No space left on device"]);
}
