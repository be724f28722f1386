//! The drill at `reap` itself: killed before and after each of its requests, beside another that does the same
//! work, with a daemon that hangs or is not there, after a reboot. What one does not finish the next one does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime};

use longshore::cli::{OrphanArgs, ReapArgs};
use longshore::engine::{Deadlines, DockerEngine};
use longshore::host::owner;
use longshore::host::reap::{self, Reap};
use longshore::outcome::Outcome;
use longshore::plan::container::Labels;
use longshore::plan::owner::Moment;
use longshore::settings::Settings;
use longshore::stage::error::CallError;
use longshore::world::{Stdio, World};
use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::support::kill_points::{Hit, KillPoints, Point, Proxy, Side, call_of, has_ended, stops};
use crate::support::left::Left;
use crate::support::private_engine::Daemon;
use crate::support::real::{BINARY, Host, assert_says, stderr};

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

/// A reap in this process, for which a daemon is gone sooner than for the command.
async fn impatient(settings: &Path) -> Result<Outcome, CallError> {
    let settings = Settings::parse(&fs::read_to_string(settings).unwrap(), settings).unwrap();
    let world = World {
        environment: [].into(),
        executable: PathBuf::from(BINARY),
        directory: PathBuf::from("/"),
        platform: "linux/amd64",
        clock: SystemTime::now,
    };
    // A daemon beside others' tests takes more than a second for some answers.
    let patience = Duration::from_secs(5);
    let deadlines = Deadlines { control: patience, work: patience, ..Deadlines::default() };
    let engine = DockerEngine::new(&settings.docker.host, deadlines).unwrap();
    let null = || fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    let stdio = Stdio { stdin: null(), stdout: null(), stderr: null() };
    let args = ReapArgs { plan: false, json: true, orphans: OrphanArgs::default() };
    reap::command(Reap { engine: Ok(&engine), settings: &settings, world: &world }, &args, stdio)
        .await
}

/// Stopped when it is about to hear of a removal.
#[test]
fn a_daemon_that_hangs_in_the_middle_of_a_reap_is_told_and_the_next_finishes() {
    let daemon = Daemon::start(&[]);
    let signal = |signal| kill_process(Pid::from_raw(daemon.pid()).unwrap(), signal).unwrap();
    let all = leftovers(&daemon);
    let reaper = Reaper::before(&daemon);
    // The peer of the proxy's socket is this process.
    let (call, request) =
        (call_of(getpid().as_raw_nonzero().get()), "DELETE /v1./volumes/JOB-builds".to_owned());
    reaper.points.arm(&Point { call, request, nth: 1 }, Side::Before);
    let settings = reaper.host.settings();
    let hung = std::thread::scope(|scope| {
        let reaping = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(impatient(&settings)).unwrap_err()
        });
        let hit = reaper.hit("the volume");
        assert!(stops(daemon.pid()));
        hit.go_on();
        let hung = reaping.join();
        signal(Signal::CONT);
        hung.unwrap()
    });
    assert_eq!(hung.outcome(), Outcome::SystemFault, "{hung}");
    assert_says(&hung.to_string(), &["no answer from the daemon", "-builds"]);
    let next = reaper.reap();
    assert!(next.status.success(), "{next:?}");
    assert_eq!(there(&all), Vec::<&str>::new(), "{next:?}");
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

/// A reap as it would be after this host has booted anew.
fn reap_after_boot(host: &Host, options: &[&str]) -> Output {
    let (boot, uptime) = (host.path("boot_id"), host.path("uptime"));
    fs::write(&boot, "00000000-0000-4000-8000-000000000000\n").unwrap();
    fs::write(&uptime, "7.00 14.00\n").unwrap();
    let script = "mount --bind \"$1\" /proc/sys/kernel/random/boot_id &&
         mount --bind \"$2\" /proc/uptime && shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).args([&boot, &uptime]);
    command.args([BINARY, "--settings"]).arg(host.settings()).arg("reap").args(options);
    command.output().unwrap()
}

/// A process with the owner's pid and start time lives, but after a boot that is somebody else.
#[test]
fn after_a_reboot_nothing_stays_of_a_job_that_ran_before_it() {
    let daemon = Daemon::start(&[]);
    let host = Host::new().in_memory().docker("host", &format!("{:?}", daemon.host()));
    let mut labels = Labels::from([("longshore.job".to_owned(), KEY.to_owned())]);
    owner::describe(std::process::id()).unwrap().write(&mut labels);
    Moment { unix: u64::MAX, uptime: u64::MAX }.write_deadline(&mut labels);
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let left = |kind, word: &str| {
        let own = format!("longshore.kind={word}");
        let labels: Vec<&str> = labels.iter().map(String::as_str).chain([own.as_str()]).collect();
        Left::labelled(daemon.host(), kind, &format!("longshore-{KEY}-{word}"), &labels)
    };
    let all = [left("container", "job"), left("volume", "builds")];
    let done = host.bare(&["reap"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(there(&all).len(), 2, "its owner lives: {done:?}");
    let told = String::from_utf8(reap_after_boot(&host, &["--plan"]).stdout).unwrap();
    let gone = format!("would remove container {}: its runner is gone", all[0].name);
    assert_says(&told, &[&gone]);
    let done = reap_after_boot(&host, &[]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(there(&all), Vec::<&str>::new(), "{done:?}");
}
