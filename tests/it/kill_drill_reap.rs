//! The drill at `reap` itself: killed before and after each of its requests, beside another that does the same
//! work, with a daemon that hangs or is not there, after a reboot and with a clock that was set. What one does
//! not finish the next one does.

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::kill_points::{Hit, KillPoints, Point, Proxy, Side, has_ended};
use crate::support::left::Left;
use crate::support::private_engine::Daemon;
use crate::support::real::{BINARY, Host, assert_says, await_gone_from, busybox, left_on, stderr};
use crate::support::running::JobStatus;

const SOON: Duration = Duration::from_mins(1);

const KEY: &str = "7-00000000";

/// What a dead job left, one thing of each kind and what its script made.
fn leftovers(daemon: &Daemon) -> Vec<Left> {
    let left = |kind, word: &str, labelled: &str| {
        Left::on(daemon.host(), kind, &format!("longshore-{KEY}-{word}"), labelled)
    };
    vec![
        left("container", "job", "job"),
        left("container", "web", "brokered"),
        left("network", "inner", "brokered"),
        left("volume", "builds", "builds"),
        left("volume", "store", "brokered"),
        Left::image(daemon.host(), &format!("longshore.invalid/{KEY}/app:1")),
    ]
}

fn there(all: &[Left]) -> Vec<&str> {
    all.iter().filter(|one| one.is_there()).map(|one| one.name.as_str()).collect()
}

/// A host of its own before a daemon, with the points between.
struct Reaper {
    host: Host,
    points: Arc<KillPoints>,
    hits: Receiver<Hit>,
    _proxy: Proxy,
}

impl Reaper {
    fn before(daemon: &Daemon) -> Self {
        let (points, hits) = KillPoints::of_job(7);
        let proxy = Proxy::before(&points, &daemon.socket);
        let host = Host::new().in_memory().docker("host", &format!("{:?}", proxy.host()));
        Self { host, points, hits, _proxy: proxy }
    }

    fn hit(&self, context: &str) -> Hit {
        self.hits.recv_timeout(SOON).unwrap_or_else(|_| panic!("not {context}"))
    }

    fn start(&self) -> std::process::Child {
        let mut command = self.host.bare(&["reap"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    }

    fn reap(&self) -> Output {
        self.host.bare(&["reap"]).output().unwrap()
    }
}

/// What a reap asks for that has all of this to remove.
fn requests(daemon: &Daemon) -> Vec<Point> {
    let all = leftovers(daemon);
    let reaper = Reaper::before(daemon);
    let done = reaper.reap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(there(&all), Vec::<&str>::new(), "{done:?}");
    let points = reaper.points.passed();
    let removals = points.iter().filter(|point| point.request.starts_with("DELETE "));
    assert_eq!(removals.map(|point| point.nth).sum::<usize>(), all.len(), "{points:#?}");
    points
}

#[test]
fn a_reap_that_is_killed_at_any_request_is_finished_by_the_next() {
    let daemon = Daemon::start(&[]);
    let points = requests(&daemon);
    for (point, side) in points.iter().flat_map(|one| [(one, Side::Before), (one, Side::After)]) {
        let context = format!("{side:?} {point:?}");
        let all = leftovers(&daemon);
        let reaper = Reaper::before(&daemon);
        reaper.points.arm(point, side);
        let mut child = reaper.start();
        let hit = reaper.hit(&context);
        kill_process(Pid::from_raw(hit.pid).unwrap(), Signal::KILL).unwrap();
        assert!(has_ended(hit.pid) || !child.wait().unwrap().success(), "{context}");
        drop(hit);
        child.wait().unwrap();
        let next = reaper.reap();
        assert!(next.status.success(), "{context}: {next:?}");
        assert_eq!(there(&all), Vec::<&str>::new(), "{context}: {next:?}");
    }
    println!("swept {} kill points of reap", 2 * points.len());
}

/// Two installations, which have no lock in common: one comes while the other is anywhere in its work.
#[test]
fn two_reaps_at_once_are_in_nobodys_way() {
    let daemon = Daemon::start(&[]);
    let points = requests(&daemon);
    for (point, side) in points.iter().flat_map(|one| [(one, Side::Before), (one, Side::After)]) {
        let context = format!("{side:?} {point:?}");
        let all = leftovers(&daemon);
        let (first, second) = (Reaper::before(&daemon), Reaper::before(&daemon));
        first.points.arm(point, side);
        let child = first.start();
        let hit = first.hit(&context);
        let done = second.reap();
        assert!(done.status.success(), "{context}: {done:?}");
        assert_eq!(there(&all), Vec::<&str>::new(), "{context}: {done:?}");
        hit.go_on();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{context}: {done:?}");
    }
}

/// Stopped when it has heard of a removal, and when it has done it.
#[test]
fn a_daemon_that_hangs_in_the_middle_of_a_reap_is_told_in_time_and_the_next_finishes() {
    let daemon = Daemon::start(&[]);
    let signal = |signal| kill_process(Pid::from_raw(daemon.pid()).unwrap(), signal).unwrap();
    for side in [Side::Before, Side::After] {
        let all = leftovers(&daemon);
        let reaper = Reaper::before(&daemon);
        let request = "DELETE /v1./volumes/JOB-builds".to_owned();
        reaper.points.arm(&Point { call: "reap".into(), request, nth: 1 }, side);
        let began = Instant::now();
        let child = reaper.start();
        let hit = reaper.hit("the volume");
        signal(Signal::STOP);
        hit.go_on();
        let hung = child.wait_with_output().unwrap();
        let took = began.elapsed();
        signal(Signal::CONT);
        assert_eq!(hung.status.code(), Some(2), "{side:?}: {hung:?}");
        assert_says(&stderr(&hung), &["no answer from the daemon"]);
        assert!(took < SOON, "{side:?}: {took:?}");
        let next = reaper.reap();
        assert!(next.status.success(), "{side:?}: {next:?}");
        assert_eq!(there(&all), Vec::<&str>::new(), "{side:?}");
    }
}

#[test]
fn a_daemon_that_is_down_is_told_in_one_line_with_the_number_of_a_system_failure() {
    let host = Host::new().in_memory();
    let nobody = host.path("nobody.sock");
    let host = host.docker("host", &format!("\"unix://{}\"", nobody.display()));
    let down = host.bare(&["reap"]).output().unwrap();
    let told = stderr(&down);
    assert_eq!(down.status.code(), Some(2), "{down:?}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_says(&told, &["ERROR: longshore: ", &nobody.display().to_string()]);
    assert_eq!(down.stdout, b"", "{down:?}");
}

/// The same pid with the same start time lives, but after a boot that is somebody else.
#[test]
fn after_a_reboot_nothing_stays_of_a_job_that_ran_before_it() {
    // Of its own: on it this host's other jobs would be gone too.
    let daemon = Daemon::start(&[]);
    let host = Host::new().in_memory().docker("host", &format!("{:?}", daemon.host()));
    let left = |job| left_on(&daemon.socket, job);
    let job = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().own_process().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let (boot, uptime) = (host.path("boot_id"), host.path("uptime"));
    fs::write(&boot, "00000000-0000-4000-8000-000000000000\n").unwrap();
    fs::write(&uptime, "7.00 14.00\n").unwrap();
    let rebooted = |options: &[&str]| {
        let script = "mount --bind \"$1\" /proc/sys/kernel/random/boot_id &&
             mount --bind \"$2\" /proc/uptime && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).args([&boot, &uptime]);
        command.args([BINARY, "--settings"]).arg(host.settings()).arg("reap").args(options);
        command.output().unwrap()
    };
    let plan = rebooted(&["--plan", "--json"]);
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    let own = plan["remove"].as_array().unwrap().iter();
    let own: Vec<_> =
        own.filter(|one| one["job"].as_str().is_some_and(|key| is_of(key, job.id))).collect();
    assert_eq!(own.len(), left(&job).len(), "{plan}");
    assert!(own.iter().all(|one| one["reason"] == "its runner is gone"), "{plan}");
    let done = rebooted(&[]);
    assert_eq!(left(&job), Vec::<String>::new(), "{done:?}");
    // Its container was taken from under it.
    assert_eq!(running.join().status, JobStatus::Failed);
    await_gone_from(&daemon.socket, &job);
}

fn is_of(key: &str, job: u64) -> bool {
    key.split_once('-').is_some_and(|(id, _)| id == job.to_string())
}
