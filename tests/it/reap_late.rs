//! A container that the daemon is still making when its `prepare` is killed, while the runner lives on: it comes
//! when nobody asks for it any more, and goes without waiting for the runner's end.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::job_json::FakeJob;
use crate::support::kill_points::{Hit, KillPoints, Point, Proxy, Side};
use crate::support::real::{Host, await_gone, busybox, left_of};
use crate::support::waiting::await_that;

const SOON: Duration = Duration::from_mins(1);

/// A job whose `prepare` was killed while the daemon is at its first container.
struct Killed {
    host: Host,
    job: FakeJob,
    /// To be let go for the daemon to get on.
    hit: Hit,
    _hits: Receiver<Hit>,
    _proxy: Proxy,
}

impl Killed {
    fn new() -> Self {
        let job = busybox(["true"]);
        let (points, hits) = KillPoints::of_job(job.id);
        let proxy = Proxy::start(&points);
        let host = Host::new().in_memory().docker("host", &format!("{:?}", proxy.host()));
        let request = "POST /v1./containers/create".to_owned();
        points.arm(&Point { call: "prepare".into(), request, nth: 1 }, Side::Before);
        let mut prepare = start(host.command(&job, &["prepare"]));
        let hit = hits.recv_timeout(SOON).unwrap();
        kill_process(Pid::from_raw(hit.pid).unwrap(), Signal::KILL).unwrap();
        prepare.wait().unwrap();
        Self { host, job, hit, _hits: hits, _proxy: proxy }
    }

    fn cleanup(&self) {
        let done = self.host.call(&self.job, &["cleanup"]);
        assert!(done.status.success(), "{done:?}");
    }

    /// What is noted down of containers that may come.
    fn notes(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.host.run_dir().join("creating")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn start(mut command: Command) -> Child {
    command.spawn().unwrap()
}

#[test]
fn what_comes_after_the_cleanup_is_the_next_reaps() {
    let killed = Killed::new();
    killed.cleanup();
    killed.host.await_workers();
    assert_eq!(killed.notes().len(), 1);
    // Nothing has come yet, and it is not forgotten for that.
    let early = killed.host.reap(&["--json"]);
    assert_eq!((left_of(&killed.job).len(), killed.notes().len()), (0, 1), "{early:?}");
    let Killed { host, job, hit, _hits, _proxy } = killed;
    hit.go_on();
    await_that("the container", || !left_of(&job).is_empty());
    // The request is answered a moment after the container is there.
    await_that("its removal", || {
        host.reap(&["--json"]);
        left_of(&job).is_empty()
    });
    let notes = std::fs::read_dir(host.run_dir().join("creating")).unwrap();
    assert_eq!(notes.count(), 0);
}

#[test]
fn what_comes_during_the_cleanup_goes_with_it() {
    let killed = Killed::new();
    killed.cleanup();
    let Killed { host, job, hit, _hits, _proxy } = killed;
    hit.go_on();
    host.await_workers();
    await_gone(&job);
    let notes = std::fs::read_dir(host.run_dir().join("creating")).unwrap();
    assert_eq!(notes.count(), 0);
}

/// The job is tried again before anybody has looked: both tries' containers have one name.
#[test]
fn the_next_try_of_the_job_takes_it_over() {
    let killed = Killed::new();
    let Killed { host, job, hit, _hits, _proxy } = killed;
    hit.go_on();
    await_that("the container", || !left_of(&job).is_empty());
    let prepared = host.call(&job, &["prepare"]);
    assert!(prepared.status.success(), "{prepared:?}");
    let notes = std::fs::read_dir(host.run_dir().join("creating")).unwrap();
    assert_eq!(notes.count(), 0);
    assert!(host.call(&job, &["cleanup"]).status.success());
    await_gone(&job);
}
