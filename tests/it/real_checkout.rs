//! What a job finds in its project directory: whose the files are, with which modes, and where, for each of
//! GitLab's ways to get sources.

use crate::support::api::{Answer, FakeApi};
use crate::support::git_server::{Served, own_address};
use crate::support::job_json::FakeJob;
use crate::support::real::{BUSYBOX, Host, assert_says, busybox};
use crate::support::scripts::wrap;
use crate::support::stand_in::StandIn;

/// An image whose user is 1000:1000.
const USER: &str = "longshore-test/user:1";

#[test]
fn a_checkout_has_the_users_files_with_the_usual_modes() {
    let served = Served::start();
    for strategy in ["clone", "fetch"] {
        let script = [
            "stat -c '%n %u:%g %a' . hello.txt bin bin/tool .git",
            "echo umask=$(umask)",
            "touch made && stat -c '%n %u:%g %a' made",
        ];
        let job = served.job(USER).variable("GIT_STRATEGY", strategy).script(script);
        let result = Host::new().run(&job);
        let said = result.assert_success().call("build_script").stdout();
        let files = [
            ". 1000:1000 755",
            "hello.txt 1000:1000 644",
            "bin 1000:1000 755",
            "bin/tool 1000:1000 755",
            ".git 1000:1000 755",
            "umask=0022",
            "made 1000:1000 644",
        ];
        assert_says(&said, &files);
    }
}

#[test]
fn a_job_without_sources_has_an_empty_directory_of_its_users() {
    for strategy in ["none", "empty"] {
        let script = ["pwd; echo left=$(ls -A | wc -l)", "echo x >new && stat -c '%u:%g %a' . new"];
        let job = busybox(script).image(USER).variable("GIT_STRATEGY", strategy);
        let said = Host::new().run(&job).assert_success().call("build_script").stdout();
        assert_says(&said, &["/builds/group/project\nleft=0\n", "1000:1000 755\n1000:1000 644\n"]);
    }
}

#[test]
fn a_clone_path_of_the_jobs_own_is_where_the_sources_are() {
    let served = Served::start();
    let job = served
        .job(USER)
        .variable("GIT_CLONE_PATH", "$CI_BUILDS_DIR/go/src/example.com/it")
        .script(["pwd", "stat -c '%u' . ..", "cat hello.txt"]);
    let said = Host::new().run(&job).assert_success().call("build_script").stdout();
    assert_says(&said, &["/builds/go/src/example.com/it\n", "1000\n1000\n", "hello from the"]);
}

#[test]
fn as_much_history_comes_as_the_job_asks_for() {
    let served = Served::start();
    for (depth, expected) in [(1, "commits=1"), (2, "commits=2"), (50, "commits=3")] {
        let mut job = served
            .job("longshore-git:latest")
            .script(["echo commits=$(git rev-list --count HEAD)"]);
        job.git.depth = depth;
        let result = Host::new().run(&job);
        assert_says(&result.assert_success().call("build_script").stdout(), &[expected]);
    }
}

#[test]
fn submodules_come_when_they_are_asked_for() {
    let served = Served::start();
    let script = ["cat part/part.txt", "stat -c '%u:%g' part/part.txt"];
    let job = served.job(USER).variable("GIT_SUBMODULE_STRATEGY", "recursive").script(script);
    let said = Host::new().run(&job).assert_success().call("build_script").stdout();
    assert_says(&said, &["of the submodule\n", "1000:1000\n"]);
    let without = served.job(USER).script(["test ! -e part/part.txt"]);
    Host::new().run(&without).assert_success();
}

#[test]
fn stages_that_fail_are_tried_as_often_as_the_job_says() {
    let flaky = |name: &str| {
        let text = format!(
            "test -e /tmp/{name} || {{ touch /tmp/{name}; echo again; exit 1; }}\necho {name} done"
        );
        wrap(&FakeJob::new(), &text)
    };
    let job = busybox(["true"])
        .variable("GET_SOURCES_ATTEMPTS", "2")
        .variable("RESTORE_CACHE_ATTEMPTS", "2")
        .cache("k", &["a"])
        .stage_script("get_sources", &flaky("sources"))
        .stage_script("restore_cache", &flaky("cache"));
    let result = Host::new().run(&job);
    let said = result.assert_success().trace_text();
    assert_says(&said, &["sources done", "cache done"]);
    let names = result.call_names();
    let times = |stage: &str| names.iter().filter(|name| *name == &format!("run {stage}")).count();
    assert_eq!((times("get_sources"), times("clear_worktree"), times("restore_cache")), (2, 1, 2));
}

#[test]
fn artifacts_come_at_the_second_try_and_belong_to_the_user() {
    let api = FakeApi::start_at(&format!("{}:0", own_address()));
    let home = StandIn::new();
    home.write("out/file", "made before");
    home.upload(&api, &["--path", "out"]).assert_code(0);
    api.answer(Answer::status(404));
    let job = busybox(["cat out/file", "stat -c '%u:%g %a' out out/file", "echo more >>out/file"])
        .image(USER)
        .server_url(&api.url())
        .variable("ARTIFACT_DOWNLOAD_ATTEMPTS", "2")
        .dependency(7, "tok-7", "earlier")
        .artifact(&["out"]);
    let result = Host::new().run(&job);
    let said = result.assert_success().trace_text();
    assert_says(&said, &["404", "made before", "1000:1000 755\n1000:1000 644\n"]);
    let sent = api.archive(job.id).unwrap();
    assert!(sent.len() > 100, "the job's own artifacts came back: {said}");
    assert_eq!(result.call_names().iter().filter(|n| *n == "run download_artifacts").count(), 2);
    assert!(!said.contains("Missing gitlab-runner"), "{BUSYBOX}: {said}");
}
