//! Caches through the four calls on the real daemon, in images without GitLab's helper binary.

use std::process::Command;

use crate::support::job_json::FakeJob;
use crate::support::real::{BUSYBOX, Host, assert_says, busybox, get};
use crate::support::running::JobResult;

/// A project of the test's own; its cache volumes go with this value.
struct Project {
    host: Host,
    id: u64,
}

impl Project {
    fn new() -> Self {
        // Job ids differ between jobs of a run and from other runs'.
        Self { host: Host::new(), id: FakeJob::new().id }
    }

    fn job(&self, script: &str) -> FakeJob {
        busybox([script]).project(self.id, "group/cached").cache("the key", &["deps/"])
    }

    fn run(&self, job: &FakeJob) -> JobResult {
        self.host.run(job)
    }

    fn volumes(&self) -> Vec<String> {
        let prefix = format!("longshore-cache-{}-", self.id);
        let volumes = get("/volumes");
        let names = volumes["Volumes"].as_array().unwrap().iter();
        let names = names.map(|volume| volume["Name"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with(&prefix)).collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for volume in self.volumes() {
            let _ = Command::new("docker").args(["volume", "rm", &volume]).output();
        }
    }
}

const MAKE: &str =
    "mkdir -p deps && echo kept >deps/lib && ln -s lib deps/link && chmod 750 deps/lib";

#[test]
fn the_next_job_of_a_project_finds_what_the_first_one_kept() {
    let project = Project::new();
    let first = project.run(&project.job(MAKE));
    first.assert_success();
    assert_says(
        &first.call("archive_cache").stdout(),
        &["Creating cache the key", "Created cache"],
    );
    assert_says(&first.call("restore_cache").stdout(), &["Failed to extract cache"]);
    let script = "cat deps/link; stat -c 'mode=%a owner=%u' deps/lib";
    let second = project.run(&project.job(script));
    second.assert_success();
    assert_says(&second.call("restore_cache").stdout(), &["Successfully extracted cache"]);
    assert_says(&second.call("build_script").stdout(), &["kept\n", "mode=750 owner=0"]);
    assert_says(&second.trace_text(), &["the archive is up to date"]);
}

#[test]
fn a_cache_belongs_to_the_user_of_the_jobs_image() {
    let project = Project::new();
    let job = |script: &str| project.job(script).image("longshore-test/user:1");
    project.run(&job(MAKE)).assert_success();
    let second = project.run(&job("stat -c 'owner=%u:%g' deps/lib; echo more >>deps/lib"));
    second.assert_success();
    assert_says(&second.call("build_script").stdout(), &["owner=1000:1000"]);
    // Root's job is another one's: it neither reads nor spoils the files of this user.
    let root = project.run(&project.job("test ! -e deps/lib"));
    root.assert_success();
    assert_eq!(project.volumes().len(), 2);
}

#[test]
fn protected_and_unprotected_refs_do_not_share() {
    let project = Project::new();
    project.run(&project.job(MAKE).branch("feature", false)).assert_success();
    let main = project.run(&project.job("test ! -e deps/lib").branch("main", true));
    assert_says(&main.assert_success().trace_text(), &["Failed to extract cache"]);
    let other = project.run(&project.job("cat deps/lib").branch("another", false));
    assert_says(&other.assert_success().call("build_script").stdout(), &["kept\n"]);
}

#[test]
fn another_project_has_another_cache() {
    let (one, other) = (Project::new(), Project::new());
    one.run(&one.job(MAKE)).assert_success();
    other.run(&other.job("test ! -e deps/lib")).assert_success();
}

#[test]
fn a_fallback_key_is_tried_when_the_key_is_not_there() {
    let project = Project::new();
    project.run(&project.job(MAKE)).assert_success();
    let mut job = project.job("cat deps/lib").fallback_key("no such").fallback_key("the key");
    job.cache[0].key = "fresh".into();
    let result = project.run(&job);
    let said = result.assert_success().call("restore_cache").stdout();
    assert_says(&said, &["Checking cache for fresh", "Checking cache for no such"]);
    assert_says(&said, &["Successfully extracted cache"]);
    let mut job = project.job("cat deps/lib").variable("CACHE_FALLBACK_KEY", "the key");
    job.cache[0].key = "other".into();
    project.run(&job).assert_success();
}

#[test]
fn a_failed_job_keeps_a_cache_only_where_it_is_asked_to() {
    let project = Project::new();
    let mut job = project.job(&format!("{MAKE} && exit 3"));
    assert_eq!(project.run(&job).exit_code, Some(3));
    project.run(&project.job("test ! -e deps/lib")).assert_success();
    job.cache[0].when = "always".into();
    assert_eq!(project.run(&job.id(FakeJob::new().id)).exit_code, Some(3));
    project.run(&project.job("cat deps/lib")).assert_success();
}

#[test]
fn a_job_with_a_cache_needs_no_image_with_gitlabs_binary() {
    let project = Project {
        host: Host::new().docker("helper_image", &format!("{BUSYBOX:?}")),
        id: FakeJob::new().id,
    };
    project.run(&project.job(MAKE)).assert_success();
    let second = project.run(&project.job("cat deps/lib"));
    assert_says(&second.assert_success().call("build_script").stdout(), &["kept\n"]);
}
