//! `longshore status` beside a real job, on an engine of the test's own: what it shows of jobs, room and
//! leftovers, and what it counts when the job has ended; with the daemon away it tells the rest.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::support::private_engine::Daemon;
use crate::support::real::{Host, assert_says, await_gone_from, busybox, stderr};

const SOON: Duration = Duration::from_mins(1);

fn host(daemon: &Daemon) -> Host {
    let host = Host::new().docker("host", &format!("{:?}", daemon.host()));
    let run = host.path("run").display().to_string();
    host.top("run_dir", &format!("{run:?}"))
}

fn status(host: &Host, words: &[&str]) -> Output {
    host.bare(&[&["status"], words].concat()).output().unwrap()
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(host: &Host) -> Value {
    serde_json::from_str(&told(&status(host, &["--json"]))).unwrap()
}

#[test]
fn a_job_is_seen_while_it_runs_and_counted_when_it_has_ended() {
    let daemon = Daemon::start(&[]);
    let host = host(&daemon);
    let idle = told(&status(&host, &[]));
    assert_says(
        &idle,
        &["jobs       none; slots: 0 used, 0 idle", " free (gc below ", "gc         not yet"],
    );
    let job = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let now = json(&host);
    let [seen] = &now["jobs"].as_array().unwrap()[..] else { panic!("{now}") };
    assert_eq!(
        (&seen["project"], &seen["state"]),
        (&job.project_path.clone().into(), &"running".into())
    );
    assert_eq!((&now["slots"]["used"], &now["slots"]["idle"]), (&1.into(), &0.into()));
    assert_eq!(now["leftovers"], Value::Array(Vec::new()));
    assert_says(
        &told(&status(&host, &[])),
        &["jobs       1; slots: 1 used, 0 idle", &job.project_path],
    );
    running.cancel();
    running.join();
    await_gone_from(&daemon.socket, &job);

    let page = host.path("longshore.prom");
    let words = ["--prometheus", "--output", page.to_str().unwrap()];
    assert_eq!(told(&status(&host, &words)), "");
    let page = fs::read_to_string(page).unwrap();
    assert_says(
        &page,
        &["longshore_jobs_ended_total{outcome=\"canceled\"} 1\n", "longshore_jobs 0\n"],
    );
    assert_says(
        &page,
        &["_seconds_count{stage=\"prepare\"} 1\n", "_seconds_count{stage=\"build_script\"} 1\n"],
    );
    assert_says(&page, &["longshore_engine_up 1\n", "longshore_slots{state=\"idle\"} 1\n"]);
    let beside: Vec<_> = fs::read_dir(host.path("")).unwrap().collect();
    assert!(
        beside.iter().all(|one| !one
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with('.'))
    );
}

#[test]
fn what_a_dead_job_left_is_shown_and_the_image_it_held_is_not() {
    let daemon = Daemon::start(&[]);
    let host = host(&daemon);
    let job = busybox(["true"]);
    // Its runner is this process's child, and gone at once.
    let prepared = host.call(&job, &["prepare"]);
    assert!(prepared.status.success(), "{prepared:?}");
    let now = json(&host);
    assert_eq!(now["leases"], Value::Array(Vec::new()));
    assert_eq!(now["jobs"].as_array().unwrap().len(), 1, "{now}");
    assert!(host.call(&job, &["cleanup"]).status.success());
    await_gone_from(&daemon.socket, &job);
}

#[test]
fn a_daemon_that_is_away_is_told_with_all_that_is_known_without_it() {
    let host = Host::new().docker("host", "\"unix:///nowhere/docker.sock\"");
    let away = status(&host, &[]);
    assert_eq!(away.status.code(), Some(2), "{away:?}");
    assert_says(&stderr(&away), &["there is no socket at /nowhere/docker.sock"]);
    assert_says(&String::from_utf8_lossy(&away.stdout), &["engine     ", "gc         not yet"]);
    let page = told(&status(&host, &["--prometheus"]));
    assert_says(
        &page,
        &["longshore_engine_up 0\n", "longshore_jobs_ended_total{outcome=\"success\"} 0\n"],
    );
    assert!(!page.contains("longshore_jobs 0"), "{page}");
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    let host = Host::new().docker("host", "\"unix:///nowhere/docker.sock\"");
    let output = status(&host, &["--prometheus", "--output", "/nowhere/longshore.prom"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_says(&stderr(&output), &["failed to write /nowhere/longshore.prom: No such file"]);
    let both = status(&host, &["--prometheus", "--json"]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}
