//! Sources by a real git fetch, in a helper container of another image and user than the job's.

use crate::support::git_server::Served;
use crate::support::job_json::FakeJob;
use crate::support::real::{BUSYBOX, Host, assert_says};

#[test]
fn a_checkout_belongs_to_the_user_of_the_jobs_image() {
    let served = Served::start();
    let script = ["cat hello.txt", "stat -c 'owner=%u:%g' hello.txt .git", "echo more >>hello.txt"];
    let result = Host::new().run(&served.job("longshore-test/user:1").script(script));
    result.assert_success();
    let expected = ["hello from the sources\n", "owner=1000:1000\nowner=1000:1000\n"];
    assert_says(&result.call("build_script").stdout(), &expected);
    assert!(!result.trace_text().contains("dubious"), "{}", result.trace_text());
    // git is in the helper's image alone.
    assert_says(&result.call("get_sources").stdout(), &["Checked out"]);
}

#[test]
fn the_users_own_git_takes_the_checkout_for_its_own() {
    let served = Served::start();
    let job = served
        .job("longshore-git:latest")
        .script(["git status --short", "git log --format=subject=%s"]);
    let result = Host::new().run(&job);
    assert_says(&result.assert_success().trace_text(), &["subject=one\n"]);
}

#[test]
fn job_and_helper_share_one_network() {
    let served = Served::start();
    let addresses =
        "awk '/32 host/ {print last} {last = $2}' /proc/net/fib_trie | sort -u | tr '\\n' ' '";
    let job = served.job(BUSYBOX).script([&format!("echo \"job=$({addresses})\"")]).stage_script(
        "get_sources",
        &format!("#!/bin/sh\necho \"helper=$({addresses})\"\ngit --version\n"),
    );
    let result = Host::new().run(&job);
    result.assert_success();
    let told = result.call("build_script").stdout();
    let of_job = told.lines().find_map(|line| line.strip_prefix("job=")).unwrap();
    assert!(of_job.split(' ').count() > 2, "{of_job}");
    assert_says(
        &result.call("get_sources").stdout(),
        &[&format!("helper={of_job}\n"), "git version"],
    );
}

#[test]
fn sources_that_cannot_be_fetched_are_the_jobs_failure() {
    let served = Served::start();
    let job = FakeJob::new().image(BUSYBOX).sources(&served.url, &"0".repeat(40));
    let result = Host::new().run(&job);
    assert_eq!(result.exit_code, Some(128), "{}", result.trace_text());
    assert!(!result.call_names().contains(&"run build_script".to_owned()));
}
