//! Whole jobs with a brokered Docker socket on the real daemon: the stage's Docker clients work, the stage
//! after it has what the first one made, and nothing of it outlives the job.

use std::process::Command;
use std::time::{Duration, Instant};

use longshore::host::lease::Leases;

use crate::support::job_json::FakeJob;
use crate::support::names::unique;
use crate::support::real::{Host, assert_says, await_gone};

/// An image with Docker's command line.
const CLIENT: &str = "docker:28-cli";

fn job<const N: usize>(script: [&str; N]) -> FakeJob {
    FakeJob::new().image(CLIENT).script(script)
}

/// What the daemon has of this job beside its own containers.
fn brokered(kind: &str, job: &FakeJob) -> Vec<String> {
    let label = "label=longshore.kind=brokered";
    let words: &[&str] = match kind {
        "container" => &["ps", "-a", "--format", "{{.Names}}"],
        "network" => &["network", "ls", "--format", "{{.Name}}"],
        _ => &["volume", "ls", "--format", "{{.Name}}"],
    };
    let output = Command::new("docker").args(words).args(["--filter", label]).output().unwrap();
    let key = format!("longshore-{}-", job.id);
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().filter(|name| name.starts_with(&key)).map(str::to_owned).collect()
}

/// Waits until no image is left that was this job's alone; the last of what a cleanup removes.
fn await_no_images(job: &FakeJob) {
    let names = format!("longshore.invalid/{}-*/*", job.id);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let output = Command::new("docker").args(["image", "ls", "-q", &names]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        if output.stdout.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "images of the job are left");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_jobs_docker_client_works_and_what_it_made_goes_with_the_job() {
    let path = format!("group/{}", unique());
    let job = job([
        "docker version",
        "test \"$(docker run --rm longshore-test/busybox:1 echo from inside)\" = 'from inside'",
        "docker run -d --name web longshore-test/busybox:1 sleep 300",
        "docker network create inner",
        "docker volume create store",
        "docker tag longshore-test/busybox:1 mine:1",
        "docker run --rm mine:1 true",
        "docker tag longshore-test/busybox:1 $CI_REGISTRY_IMAGE:kept",
        "docker ps",
        "echo word | docker exec -i web cat",
        "echo script done",
    ])
    .project(42, &path)
    .registry_image(&format!("registry.invalid/{path}"))
    .after_script([
        "docker ps --format '{{.Names}} is still there'",
        "docker exec web echo again",
        "docker images --format '{{.Tag}} is listed'",
        // What is the project's stays for its next job.
        "docker rmi $CI_REGISTRY_IMAGE:kept",
    ]);
    let result = Host::brokered().run(&job);
    result.assert_success();
    assert_says(
        &result.trace_text(),
        &["\nword\n", "script done\n", "web is still there\n", "\nagain\n", "kept is listed\n"],
    );
    await_gone(&job);
    for kind in ["container", "network", "volume"] {
        assert_eq!(brokered(kind, &job), Vec::<String>::new());
    }
    await_no_images(&job);
}

#[test]
fn a_refusal_is_told_in_the_log_and_in_the_ledger_and_is_the_jobs_own_failure() {
    let host = Host::brokered();
    let job = job(["docker run --privileged longshore-test/busybox:1 true"]);
    let result = host.run(&job);
    assert_says(&result.trace_text(), &["longshore: the Docker broker refused a request ["]);
    assert_says(&host.ledger(), &["\"event\":\"refused\""]);
    await_gone(&job);
}

#[test]
fn nothing_listens_where_the_stage_is_not_the_users_and_the_mode_is_off() {
    let off = Host::new();
    let result = off.run(&job(["test ! -e /var/run/docker.sock", "echo no socket"]));
    assert_says(&result.assert_success().trace_text(), &["no socket\n"]);
}

#[test]
fn a_user_that_is_not_root_can_connect() {
    let job = job(["id -u", "docker ps", "echo connected"]);
    let result = Host::brokered().docker("user", "\"1234:1234\"").run(&job);
    assert_says(&result.assert_success().trace_text(), &["\n1234\n", "connected\n"]);
}

#[test]
fn what_a_script_built_is_leased_while_its_stage_runs() {
    let job = job([
        "printf \"FROM longshore-test/busybox:1\\nLABEL of=$CI_JOB_ID\\n\" | docker build -q -t mine:1 - > id",
        "echo \"built $(cat id).\"",
        "sleep 300",
    ]);
    let host = Host::brokered().in_memory();
    let running = host.runner().start(&job);
    running.wait_for_output("\nbuilt sha256:", Duration::from_mins(1));
    let said = running.output_so_far();
    let id = &said[said.find("\nbuilt ").unwrap() + "\nbuilt ".len()..];
    let id = id.split_once('.').unwrap().0.to_owned();
    let leases = Leases::at(&host.run_dir());
    let await_lease = |wanted: bool| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while leases.held().unwrap().contains(&id) != wanted {
            assert!(Instant::now() < deadline, "leased is not {wanted}: {id}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    await_lease(true);
    running.cancel();
    running.join();
    await_lease(false);
    await_gone(&job);
    await_no_images(&job);
}
