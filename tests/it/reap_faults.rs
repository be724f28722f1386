//! `longshore reap` where something is wrong beneath it: the daemon hangs or is restarted, a disk is full,
//! its directories are something else, the clock jumps. It removes what it can, says what it cannot, and
//! the next one finishes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use longshore::cli::{OrphanArgs, ReapArgs};
use longshore::engine::{Deadlines, DockerEngine};
use longshore::host::owner;
use longshore::host::reap::{self, Reap};
use longshore::plan::container::Labels;
use longshore::plan::owner::{Moment, Owner};
use longshore::settings::Settings;
use longshore::world::{Stdio, World};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::in_process::InProcess;
use crate::support::kill_points::{KillPoints, Point, Proxy, Side};
use crate::support::left::Left;
use crate::support::names::unique;
use crate::support::private_engine::Daemon;
use crate::support::real::{
    BINARY, Host, assert_says, await_gone, busybox, docker_host, left_of, stderr,
};
use crate::support::running::{FailureReason, JobStatus};

const SOON: Duration = Duration::from_mins(1);

/// What a dead job left on a daemon of the test's own.
fn left_on(daemon: &Daemon) -> Vec<Left> {
    let name = |kind: &str| format!("longshore-7-00000000-{kind}");
    let left = |kind, word: &str| Left::on(daemon.host(), kind, &name(word), word);
    vec![left("container", "job"), left("container", "helper"), left("volume", "builds")]
}

fn there(all: &[Left]) -> usize {
    all.iter().filter(|one| one.is_there()).count()
}

#[test]
fn a_daemon_that_hangs_ends_the_reap_in_time_and_the_next_one_does_it() {
    let daemon = Daemon::start(&[]);
    let host = Host::new().in_memory().docker("host", &format!("{:?}", daemon.host()));
    let all = left_on(&daemon);
    let signal = |signal| kill_process(Pid::from_raw(daemon.pid()).unwrap(), signal).unwrap();
    signal(Signal::STOP);
    let began = Instant::now();
    let hung = host.bare(&["reap"]).output().unwrap();
    let took = began.elapsed();
    signal(Signal::CONT);
    assert!(took < SOON, "{took:?}");
    assert_eq!(hung.status.code(), Some(2), "{hung:?}");
    assert_says(&stderr(&hung), &["no answer from the daemon"]);
    assert_eq!(there(&all), 3);
    let done = host.bare(&["reap"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(there(&all), 0);
}

/// Killed when it has heard of the first removal, and once more before it hears of it.
#[test]
fn a_daemon_that_is_restarted_during_a_reap_loses_nothing_of_it() {
    let daemon = Daemon::start(&[]);
    for side in [Side::Before, Side::After] {
        let all = left_on(&daemon);
        let (points, hits) = KillPoints::of_job(7);
        let proxy = Proxy::before(&points, &daemon.socket);
        let host = Host::new().in_memory().docker("host", &format!("{:?}", proxy.host()));
        let point =
            Point { call: "reap".into(), request: "DELETE /v1./containers/JOB-job".into(), nth: 1 };
        points.arm(&point, side);
        let mut reap = host.bare(&["reap"]).spawn().unwrap();
        let hit = hits.recv_timeout(SOON).unwrap();
        daemon.kill();
        drop(hit);
        assert!(!reap.wait().unwrap().success(), "{side:?}");
        daemon.again();
        let done = host.bare(&["reap"]).output().unwrap();
        assert!(done.status.success(), "{side:?} {done:?}");
        assert_eq!(there(&all), 0, "{side:?}");
    }
}

/// It is stopped at a removal: what comes after that is not asked for, and no kind of object is waited for anew.
#[tokio::test]
async fn a_daemon_that_hangs_in_the_middle_of_a_reap_is_waited_for_once() {
    let daemon = Daemon::start(&[]);
    let mut all = left_on(&daemon);
    all.push(Left::on(daemon.host(), "network", "longshore-7-00000000-net", "brokered"));
    let (points, hits) = KillPoints::of_job(7);
    let proxy = Proxy::before(&points, &daemon.socket);
    let host = Host::new().in_memory().docker("host", &format!("{:?}", daemon.host()));
    // The call is named by the words of this process.
    let call = points.note(i32::try_from(std::process::id()).unwrap(), "GET /").call;
    let request = "DELETE /v1./containers/JOB-job".into();
    points.arm(&Point { call, request, nth: 1 }, Side::Before);
    let pid = Pid::from_raw(daemon.pid()).unwrap();
    let stopper = std::thread::spawn(move || {
        let hit = hits.recv_timeout(SOON).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        (hit, hits)
    });
    let began = Instant::now();
    let ended = InProcess::new(&host, &proxy.host()).reap().await;
    let took = began.elapsed();
    let hit = stopper.join().unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    drop(hit);
    // One removal, and the question whether anybody is there, twice.
    assert!(took < Duration::from_secs(5), "{took:?}");
    let told = ended.unwrap_err().to_string();
    let words = ["no answer from the daemon within 1s", "remove volume", "remove network"];
    assert_says(&told, &words);
    assert_eq!(told.matches("not tried any more").count(), 2, "{told}");
    assert!(there(&all) >= 3, "{told}");
    let done = host.bare(&["reap"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(there(&all), 0);
}

/// An idle network of this host alone: what a reap of another test leaves.
fn spare(host: Host) -> (Host, Left) {
    let prefix = format!("{}-slot-", unique());
    let slot = Left::make("network", &format!("{prefix}7"), &["longshore.kind=slot"]);
    (host.docker("slot_prefix", &format!("{prefix:?}")), slot)
}

#[test]
fn a_run_dir_or_state_dir_that_is_a_file_is_told_and_the_rest_is_done() {
    for key in ["run_dir", "state_dir"] {
        let (host, slot) = spare(Host::new());
        let file = host.path("file");
        fs::write(&file, "something else").unwrap();
        let host = host.top(key, &format!("{file:?}"));
        let done = host.reap(&[]);
        assert!(!slot.is_there(), "{key}: {done:?}");
        assert_eq!(done.status.code(), Some(2), "{key}: {done:?}");
        assert_says(&stderr(&done), &[&file.display().to_string()]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "something else");
    }
}

/// Whatever lies where our files are is passed over, and nobody is led astray by it.
#[test]
fn what_is_foreign_or_torn_in_our_directories_is_passed_over() {
    let (host, slot) = spare(Host::new().in_memory());
    let _of_the_job = Left::found("network", slot.name.replace("-slot-7", "-slot-0"));
    let job = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().own_process().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let (notes, removing) = (host.path("state/directories"), host.run_dir().join("removing"));
    let note = fs::read_dir(&notes).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read_to_string(&note).unwrap();
    let bait = host.path("custom-executor-bait");
    fs::create_dir(&bait).unwrap();
    fs::create_dir_all(&removing).unwrap();
    fs::write(notes.join("torn"), &whole[..whole.len() / 2]).unwrap();
    // Of a dead job, but its numbers are another directory's.
    let dead = whole.replace("\"boot_id\":\"", "\"boot_id\":\"x");
    let path = serde_json::from_str::<serde_json::Value>(&whole).unwrap()["path"].to_string();
    fs::write(notes.join("forged"), dead.replace(&path, &format!("{bait:?}"))).unwrap();
    fs::write(notes.join("foreign"), "{\"version\":99}").unwrap();
    fs::create_dir(notes.join("directory")).unwrap();
    fs::create_dir(removing.join("directory")).unwrap();
    symlink("/etc/passwd", removing.join("link")).unwrap();
    fs::write(host.path("state/ledger.jsonl"), "{\"version\":99,\"event\":\"pruning\"}\n{\"ver")
        .unwrap();
    let done = host.reap(&[]);
    assert!(!slot.is_there() && bait.exists(), "{done:?}");
    assert!(!left_of(&job).is_empty(), "its runner lives: {done:?}");
    running.cancel();
    assert_eq!(running.join().status, JobStatus::Canceled);
    await_gone(&job);
    fs::remove_dir(notes.join("directory")).unwrap();
}

/// A file system in memory without a byte or a file left.
pub(crate) struct Full(TempDir);

impl Full {
    pub(crate) fn mount() -> Self {
        let directory = TempDir::with_prefix("longshore-test-full-").unwrap();
        let size = ["-t", "tmpfs", "-o", "size=16k,nr_inodes=8", "tmpfs"];
        run(Command::new("mount").args(size).arg(directory.path()));
        let full = Self(directory);
        fs::write(full.path().join("file"), vec![0; 64 * 1024]).unwrap_err();
        for number in 0.. {
            if fs::File::create(full.path().join(number.to_string())).is_err() {
                break;
            }
        }
        full
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes room.
    pub(crate) fn empty(&self) {
        for entry in fs::read_dir(self.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        run(Command::new("mount").args(["-o", "remount,size=1m,nr_inodes=1k"]).arg(self.path()));
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        run(Command::new("umount").arg(self.path()));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success() || std::thread::panicking(), "{command:?}: {output:?}");
}

#[test]
fn a_reap_on_a_full_disk_removes_what_it_may() {
    let full = Full::mount();
    let (host, slot) = spare(Host::new());
    let path = format!("{:?}", full.path());
    let host = host.top("run_dir", &path).top("state_dir", &path);
    let done = host.reap(&[]);
    assert!(!slot.is_there(), "{done:?}");
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert_says(&stderr(&done), &["failed to lock", "No space left on device"]);
}

#[test]
fn a_job_on_a_full_disk_is_a_system_failure_that_leaves_nothing() {
    let full = Full::mount();
    let host = Host::new().top("run_dir", &format!("{:?}", full.path()));
    let job = busybox(["true"]);
    let result = host.run(&job);
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    assert_says(&result.trace_text(), &["No space left on device", "run_dir"]);
}

/// History cannot be written: the job does not care.
#[test]
fn a_job_whose_ledger_has_no_room_runs_and_is_removed() {
    let full = Full::mount();
    let host = Host::new().in_memory().top("state_dir", &format!("{:?}", full.path()));
    let job = busybox(["true"]);
    host.run(&job).assert_success();
    let removing = host.run_dir().join("removing");
    let deadline = Instant::now() + SOON;
    while fs::read_dir(&removing).unwrap().next().is_some() {
        assert!(Instant::now() < deadline, "the worker does not finish");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Both ways, by a day.
#[tokio::test]
async fn a_clock_that_jumps_ends_no_job() {
    let host = Host::new().in_memory();
    let job = busybox(["echo begun", "sleep 300"]);
    let running = host.runner().own_process().start(&job);
    running.wait_for_output("\nbegun", SOON);
    let before = left_of(&job).len();
    let clocks: [fn() -> SystemTime; 2] = [
        || SystemTime::now() + Duration::from_hours(24),
        || SystemTime::now() - Duration::from_hours(24),
    ];
    for clock in clocks {
        let out = reaped(&host, clock).await;
        assert!(!out.contains(&job.id.to_string()), "{out}");
        assert_eq!(left_of(&job).len(), before, "{out}");
    }
    running.cancel();
    assert_eq!(running.join().status, JobStatus::Canceled);
    await_gone(&job);
}

/// What a job made whose runner nobody can see from here, with a deadline by both clocks.
fn of_elsewhere(unix: SystemTime, uptime: u64) -> Left {
    let unix = unix.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let namespace = "pid:[1]".to_owned();
    let owner = Owner { pid_namespace: namespace, ..owner::describe(1).unwrap() };
    let mut labels = Labels::from(
        [("longshore.job", "7-00000000"), ("longshore.kind", "brokered")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    owner.write(&mut labels);
    Moment { unix, uptime }.write_deadline(&mut labels);
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    Left::make("volume", &unique(), &labels)
}

/// Both ways, by an hour: what is over goes and what is not stays, whatever the other clock says of it.
#[tokio::test]
async fn a_clock_that_jumps_puts_no_deadline_off_or_forward() {
    let hour = Duration::from_hours(1);
    let clocks: [fn() -> SystemTime; 2] = [
        || SystemTime::now() + Duration::from_hours(1),
        || SystemTime::now() - Duration::from_hours(1),
    ];
    for clock in clocks {
        let over = of_elsewhere(SystemTime::now() + 2 * hour, 1);
        let under_way = of_elsewhere(SystemTime::now() - 2 * hour, u64::MAX);
        let host = Host::new().in_memory();
        let out = reaped(&host, clock).await;
        assert_eq!((over.is_there(), under_way.is_there()), (false, true), "{out}");
    }
}

/// A reap in this process, by this clock.
async fn reaped(host: &Host, clock: fn() -> SystemTime) -> String {
    let text = fs::read_to_string(host.settings()).unwrap();
    let settings = Settings::parse(&text, &host.settings()).unwrap();
    let world = World {
        environment: [].into(),
        executable: PathBuf::from(BINARY),
        directory: PathBuf::from("/"),
        platform: "linux/amd64",
        clock,
    };
    let engine = DockerEngine::new(&docker_host(), Deadlines::default()).unwrap();
    let out = host.path("reaped");
    let open = |path: &Path| {
        fs::File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    };
    let null = || open(Path::new("/dev/null"));
    let stdio = Stdio { stdin: null(), stdout: open(&out), stderr: null() };
    let args = ReapArgs { plan: false, json: true, orphans: OrphanArgs::default() };
    let reap = Reap { engine: Ok(&engine), settings: &settings, world: &world };
    // What other tests left meanwhile may fail to go.
    drop(reap::command(reap, &args, stdio).await);
    fs::read_to_string(out).unwrap()
}

#[test]
fn a_reap_with_nothing_to_do_asks_for_little() {
    let (points, _hits) = KillPoints::of_job(7);
    let proxy = Proxy::start(&Arc::clone(&points));
    let host = Host::new().in_memory().docker("host", &format!("{:?}", proxy.host()));
    host.reap(&["--plan"]);
    let requests = points.passed();
    assert!((1..=5).contains(&requests.len()), "{requests:?}");
}
