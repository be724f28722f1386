//! What goes and what stays after a delivery, on the real daemon: by name, only the pipeline's own, never
//! what somebody uses, and once more where it was interrupted.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::fake_registry::FakeRegistry;
use crate::support::image::Image;
use crate::support::job_json::FakeJob;
use crate::support::names::unique;
use crate::support::real::{Host, assert_says, busybox, docker_host, get, stderr};

const REVISION: &str = "org.opencontainers.image.revision";

fn docker(words: &[&str]) -> Output {
    Command::new("docker").args(["-H", &docker_host()]).args(words).output().unwrap()
}

/// A project with a repository of the test's own; its images go with this value.
struct Project {
    id: u64,
    path: String,
    repository: String,
    /// Its commit, which no other test has: an unnamed image is known by that alone.
    sha: String,
    images: Vec<String>,
}

impl Project {
    fn new() -> Self {
        let path = format!("group/{}", unique());
        Self::at(&format!("registry.example:5000/{path}"), &path)
    }

    fn at(repository: &str, path: &str) -> Self {
        let id = FakeJob::new().id;
        let sha = format!("{id:08}abcdef0123456789abcdef0123456789");
        Self {
            id,
            path: path.to_owned(),
            repository: repository.to_owned(),
            sha,
            images: Vec::new(),
        }
    }

    fn reference(&self, tag: &str) -> String {
        format!("{}:{tag}", self.repository)
    }

    /// An image of its own content with these labels and tags.
    fn image(&mut self, labels: &[(&str, &str)], tags: &[&str]) -> String {
        let mut words = vec!["import".to_owned()];
        let own = unique();
        for (key, value) in labels.iter().chain(&[("longshore-test", own.as_str())]) {
            words.extend(["--change".to_owned(), format!("LABEL {key}={value}")]);
        }
        words.push("-".to_owned());
        let mut import = Command::new("docker")
            .args(["-H", &docker_host()])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        import.stdin.take().unwrap().write_all(&[0; 1024]).unwrap();
        let output = import.wait_with_output().unwrap();
        let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        for tag in tags {
            assert!(docker(&["tag", &id, &self.reference(tag)]).status.success());
        }
        self.images.push(id.clone());
        id
    }

    /// The tags and digests of the repository that are there now.
    fn left(&self) -> Vec<String> {
        let images = get("/images/json");
        // Where containerd keeps them each tag has a digest besides, which goes with it.
        let driver = get("/info")["DriverStatus"].to_string();
        let kinds: &[&str] = if driver.contains("io.containerd.snapshotter") {
            &["RepoTags"]
        } else {
            &["RepoTags", "RepoDigests"]
        };
        let names = |one: &Value, key: &str| one[key].as_array().cloned().unwrap_or_default();
        let all = images.as_array().unwrap().iter();
        let mut left: Vec<String> = all
            .flat_map(|one| kinds.iter().flat_map(|kind| names(one, kind)).collect::<Vec<_>>())
            .filter_map(|name| Some(name.as_str()?.strip_prefix(&self.repository)?.to_owned()))
            .filter(|rest| rest.starts_with([':', '@']))
            .collect();
        left.sort();
        left
    }

    fn delivery(&self) -> FakeJob {
        busybox(["echo delivered"])
            .stage("delivery")
            .project(self.id, &self.path)
            .registry_image(&self.repository)
            .sha(&self.sha)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for name in self.left() {
            docker(&["image", "rm", "--force", &format!("{}{name}", self.repository)]);
        }
        for id in &self.images {
            docker(&["image", "rm", "--force", id]);
        }
    }
}

fn is_there(image: &str) -> bool {
    docker(&["image", "inspect", image]).status.success()
}

/// Waits for the worker's word in the ledger: what it removed, and what it left.
fn pruned(host: &Host) -> Value {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let ledger = host.ledger();
        let mut events = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        if let Some(event) = events.rfind(|event| event["event"] == "pruned") {
            return event;
        }
        assert!(Instant::now() < deadline, "nothing is pruned: {ledger}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

#[test]
fn the_pipelines_own_goes_and_latest_stays() {
    let registry = FakeRegistry::start(Image::unique());
    let path = format!("group/{}", unique());
    let mut project = Project::at(&registry.reference(&path), &path);
    let by_digest = format!("{}@{}", project.repository, registry.digest());
    assert!(docker(&["pull", "--quiet", &by_digest]).status.success());
    let delivered = project.image(&[], &["test", &project.sha.clone(), "latest", "v1"]);
    project.image(&[], &[&project.sha.clone()[..8]]);
    let stage = project.image(&[(REVISION, &project.sha.clone())], &[]);
    let other = Project::at(&format!("{}/sub", project.repository), &path);
    assert!(docker(&["tag", &delivered, &other.reference("test")]).status.success());
    // A pull of another test would hold what has no name.
    let host = Host::new().in_memory();
    let result = host.run(&project.delivery());
    let trace = result.assert_success().trace_text();
    let event = pruned(&host);
    assert_eq!(project.left(), [":latest", ":v1"], "{trace}\n{event}");
    assert!(!is_there(&stage));
    assert_eq!(other.left(), [":test"]);
    assert_eq!(names(&event["left"]), Vec::<&str>::new());
    assert_eq!(names(&event["references"]).len(), 5, "{event}");
    assert_says(&trace, &[&format!("longshore: prunes {}\n", project.reference("test"))]);
}

#[test]
fn after_a_delivery_that_failed_nothing_goes() {
    let mut project = Project::new();
    project.image(&[], &["test", &project.sha.clone(), "latest"]);
    let host = Host::new();
    let failed = project.delivery().script(["exit 3"]);
    assert_eq!(host.run(&failed).exit_code, Some(3));
    let other_stage = project.delivery().stage("build");
    host.run(&other_stage).assert_success();
    assert_eq!(project.left().len(), 3);
    assert!(!host.ledger().contains("\"pruning\""), "{}", host.ledger());
}

#[test]
fn what_a_container_uses_stays_and_the_log_says_so() {
    let mut project = Project::new();
    project.image(&[], &["latest"]);
    let used = project.image(&[], &["test"]);
    let name = unique();
    assert!(docker(&["create", "--name", &name, &used, "none"]).status.success());
    let host = Host::new();
    let trace = host.run(&project.delivery()).assert_success().trace_text();
    docker(&["rm", "--force", &name]);
    let told = format!("longshore: kept {}: a container uses it\n", project.reference("test"));
    assert_says(&trace, &[&told]);
    assert_eq!(project.left(), [":latest", ":test"]);
}

/// Two pipelines deliver the same repository: each takes its own.
#[test]
fn what_another_pipeline_at_work_may_need_stays() {
    let mut project = Project::new();
    project.image(&[], &["latest", &project.sha.clone()]);
    project.image(&[], &["test"]);
    let theirs = "1111111111111111111111111111111111111111";
    project.image(&[(REVISION, theirs)], &[theirs]);
    let name = unique();
    let label = |key: &str, value: &str| format!("--label=longshore.{key}={value}");
    let labels =
        [label("project", &project.path), label("pipeline", "99"), label("commit", theirs)];
    let [a, b, c] = labels.each_ref().map(String::as_str);
    assert!(
        docker(&["create", "--name", &name, a, b, c, "longshore-test/busybox:1"]).status.success()
    );
    let host = Host::new();
    let trace = host.run(&project.delivery()).assert_success().trace_text();
    docker(&["rm", "--force", &name]);
    pruned(&host);
    assert_says(&trace, &["test: pipeline 99 is at work and may need it\n"]);
    assert_eq!(project.left(), [&format!(":{theirs}"), ":latest", ":test"]);
}

/// The runner's service was restarted: the plan stands in the ledger, and nobody carries it out.
fn interrupted(host: &Host, project: &Project) -> FakeJob {
    let job = project.delivery();
    let script = host.path("script");
    std::fs::write(&script, "true\n").unwrap();
    for words in
        [vec!["prepare"], vec!["run", "build_script"], vec!["run", "cleanup_file_variables"]]
    {
        let mut words = words;
        if words.len() == 2 {
            words.insert(1, script.to_str().unwrap());
        }
        let output = host.call(&job, &words);
        assert!(output.status.success(), "{words:?} {}", stderr(&output));
    }
    assert!(host.ledger().contains("\"pruning\"") && !host.ledger().contains("\"pruned\""));
    job
}

fn remove_containers(job: &FakeJob) {
    for kind in ["job", "helper"] {
        let left = crate::support::real::left_of(job);
        if let Some(name) = left.iter().find(|name| name.ends_with(&format!("-{kind}"))) {
            assert!(docker(&["rm", "--force", "--volumes", name]).status.success());
        }
    }
}

#[test]
fn a_prune_that_was_interrupted_is_finished_by_the_next_reap() {
    let mut project = Project::new();
    project.image(&[], &["test", &project.sha.clone(), "latest"]);
    let host = Host::new().docker("slot_prefix", "\"longshore-test-prune-\"");
    let job = interrupted(&host, &project);
    // While the job's containers stand it is its cleanup's.
    host.bare(&["reap"]).output().unwrap();
    assert_eq!(project.left().len(), 3);
    remove_containers(&job);
    // Meanwhile another pipeline has built its own.
    assert!(docker(&["image", "rm", &project.reference("test")]).status.success());
    project.image(&[], &["test"]);
    host.bare(&["reap"]).output().unwrap();
    let event = pruned(&host);
    assert_eq!(project.left(), [":latest", ":test"]);
    assert_eq!(names(&event["references"]), [project.reference(&project.sha)]);
    let left = format!("{}: it is another image by now", project.reference("test"));
    assert_eq!(names(&event["left"]), [left]);
    host.call(&job, &["cleanup"]);
    crate::support::real::await_gone(&job);
}

#[test]
fn a_lease_holds_off_the_worker() {
    let mut project = Project::new();
    let id = project.image(&[], &["test", &project.sha.clone(), "latest"]);
    let host = Host::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let leases =
        longshore::host::lease::Leases::at(&std::env::temp_dir().join("longshore-test-run"));
    let held = runtime.block_on(leases.hold(&id)).unwrap();
    host.run(&project.delivery()).assert_success();
    let event = pruned(&host);
    assert_eq!(project.left().len(), 3);
    assert_says(&event["left"].to_string(), &["test: a job is about to use it"]);
    drop(held);
    let output = host.bare(&["prune"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(project.left(), [":latest"]);
}

#[test]
fn the_command_tells_what_would_go_and_why_with_and_without_a_ledger() {
    let mut project = Project::new();
    let host = Host::new();
    host.run(&project.delivery()).assert_success();
    project.image(&[], &["test", &project.sha.clone(), "latest"]);
    let pipeline = project.delivery().pipeline_id.to_string();
    let run = |words: &[&str]| {
        let output = host.bare(words).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
    };
    let test = project.reference("test");
    let (code, told, _) = run(&["prune", "--plan", "--project", &project.path]);
    assert_eq!(code, Some(0));
    assert_says(&told, &[&format!("would remove {test}: its image is this pipeline's\n")]);
    let (_, json, _) = run(&["prune", "--plan", "--json"]);
    let plans: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plans[0]["host"]["remove"][0]["reference"], project.reference(&project.sha));
    assert_eq!(plans[0]["host"]["remove"][0]["why"], "own_tag");
    assert_eq!(project.left().len(), 3);
    let (code, _, error) = run(&["prune", "--pipeline", "1", "--plan"]);
    assert_eq!(code, Some(1), "{pipeline}");
    assert_says(&error, &["the ledger knows no such delivery", "--repository"]);
    std::fs::remove_dir_all(host.path("state")).unwrap();
    assert_eq!(run(&["prune", "--plan"]).1, "nothing to prune\n");
    let (code, told, _) =
        run(&["prune", "--repository", &project.repository, "--commit", &project.sha]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(project.left(), [":latest"]);
}

#[test]
fn a_ledger_that_cannot_be_written_makes_the_job_prune_itself() {
    let mut project = Project::new();
    project.image(&[], &["test", &project.sha.clone(), "latest"]);
    let host = Host::new();
    std::fs::write(host.path("state"), "").unwrap();
    host.run(&project.delivery()).assert_success();
    assert_eq!(project.left(), [":latest"]);
}

/// A tmpfs of a few pages, gone with this value.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Self {
        let directory = tempfile::TempDir::with_prefix("longshore-test-small-").unwrap();
        let options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(directory.path()).status();
        assert!(mounted.unwrap().success());
        Self(directory)
    }

    fn fill(&self) {
        let written = std::fs::write(self.0.path().join("filler"), vec![1; 128 << 10]);
        assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    fn path(&self, name: &str) -> String {
        format!("{:?}", self.0.path().join(name).display().to_string())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_under_ledger_and_locks_costs_no_delivery_and_no_image() {
    let mut project = Project::new();
    project.image(&[], &["test", &project.sha.clone(), "latest"]);
    let small = Small::mount();
    let host = Host::new()
        .top("state_dir", &small.path("state"))
        .top("run_dir", &small.path("run"))
        .docker("slot_prefix", "\"longshore-test-small-\"");
    let job = project.delivery();
    let script = host.path("script").display().to_string();
    std::fs::write(&script, "true\n").unwrap();
    let succeeds = |words: &[&str]| {
        let output = host.call(&job, words);
        assert!(output.status.success(), "{words:?} {}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    succeeds(&["prepare"]);
    succeeds(&["run", &script, "build_script"]);
    small.fill();
    succeeds(&["run", &script, "cleanup_file_variables"]);
    succeeds(&["cleanup"]);
    crate::support::real::await_gone(&job);
    assert!(project.left().contains(&":latest".to_owned()));
    std::fs::remove_file(small.0.path().join("filler")).unwrap();
    let output = host
        .bare(&["prune", "--repository", &project.repository, "--commit", &project.sha])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(project.left(), [":latest"]);
    docker(&["network", "rm", "longshore-test-small-0"]);
}
