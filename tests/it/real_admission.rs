//! Jobs that wait for a place, on an engine of each test's own: every job of an engine counts.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::call::Exit;
use crate::support::job_json::FakeJob;
use crate::support::private_engine::Daemon;
use crate::support::real::{BUSYBOX, Host, assert_says, await_gone_from, busybox, stderr};
use crate::support::running::FailureReason;
use crate::support::waiting::await_that;

struct Ground {
    daemon: Daemon,
    host: Host,
}

impl Ground {
    /// A host with these further settings and a queue of its own.
    fn new(settings: &str) -> Self {
        let daemon = Daemon::start(&[]);
        let host = Host::new().docker("host", &format!("{:?}", daemon.host()));
        let run_dir = format!("{:?}", host.path("run").display().to_string());
        let host = host.top("run_dir", &run_dir).table(settings);
        Self { daemon, host }
    }

    fn prepare(&self, job: &FakeJob) -> Output {
        self.host.call(job, &["prepare"])
    }

    fn let_in(&self, job: &FakeJob) {
        let output = self.prepare(job);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn finish(&self, job: &FakeJob) {
        assert!(self.host.call(job, &["cleanup"]).status.success());
        await_gone_from(&self.daemon.socket, job);
    }

    /// A `prepare` that has to wait, seen until it has said so.
    fn waiting(&self, job: &FakeJob) -> Waiting {
        let mut prepare = self.host.command(job, &["prepare"]);
        let mut child = prepare.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut told = String::new();
        log.read_line(&mut told).unwrap();
        assert_says(&told, &["longshore: waiting for a place on this host: "]);
        Waiting { child, log, told }
    }

    /// How many have a file in the queue.
    fn queued(&self) -> usize {
        let queue = std::fs::read_dir(self.host.path("run/queue")).unwrap();
        queue.filter(|file| file.as_ref().unwrap().file_name() != "lock").count()
    }
}

struct Waiting {
    child: Child,
    log: BufReader<ChildStdout>,
    /// Its first line.
    told: String,
}

impl Waiting {
    fn still_waits(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for its end: the code, the rest of the log, and stderr.
    fn end(mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        std::io::Read::read_to_string(&mut self.log, &mut told).unwrap();
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), told + &String::from_utf8_lossy(&output.stderr))
    }

    fn gets_in(self) {
        let (code, told) = self.end();
        assert_eq!(code, Some(0), "{told}");
        assert_says(&told, &["longshore: waited "]);
    }
}

fn jobs<const COUNT: usize>() -> [FakeJob; COUNT] {
    std::array::from_fn(|_| busybox(["true"]))
}

#[test]
fn five_jobs_run_two_at_a_time_in_the_order_they_came() {
    let ground = Ground::new("[admission]\nmax_jobs = 2\n");
    let [one, two, three, four, five] = jobs();
    ground.let_in(&one);
    ground.let_in(&two);
    assert_eq!(ground.queued(), 0);
    let third = ground.waiting(&three);
    assert_says(&third.told, &["number 1 of 1 in the queue", "2 jobs run", "max_jobs"]);
    let mut fourth = ground.waiting(&four);
    assert_says(&fourth.told, &["number 2 of 2 in the queue"]);
    let mut fifth = ground.waiting(&five);
    assert_says(&fifth.told, &["number 3 of 3 in the queue"]);
    ground.finish(&two);
    third.gets_in();
    assert!(fourth.still_waits() && fifth.still_waits());
    ground.finish(&one);
    fourth.gets_in();
    assert!(fifth.still_waits());
    ground.finish(&three);
    fifth.gets_in();
    assert_eq!(ground.queued(), 0);
    for job in [four, five] {
        ground.finish(&job);
    }
}

#[test]
fn who_dies_or_is_cancelled_while_waiting_stands_in_nobodys_way() {
    let ground = Ground::new("[admission]\nmax_jobs = 1\n");
    let [one, killed, cancelled, last] = jobs();
    ground.let_in(&one);
    let killed = ground.waiting(&killed);
    let cancelled = ground.waiting(&cancelled);
    let waiting = ground.waiting(&last);
    assert_says(&waiting.told, &["number 3 of 3 in the queue"]);
    killed.signal(Signal::KILL);
    assert_eq!(killed.end().0, None);
    let began = Instant::now();
    cancelled.signal(Signal::TERM);
    let (code, told) = cancelled.end();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(code, Some(2), "{told}");
    assert_says(&told, &["the runner ended the preparation"]);
    // The killed one's file is for its next try.
    assert_eq!(ground.queued(), 2);
    ground.finish(&one);
    waiting.gets_in();
    ground.finish(&last);
}

#[test]
fn those_whose_queue_is_removed_wait_on_in_their_order() {
    let ground = Ground::new("[admission]\nmax_jobs = 1\n");
    let [one, two, three] = jobs();
    ground.let_in(&one);
    let first = ground.waiting(&two);
    let mut second = ground.waiting(&three);
    std::fs::remove_dir_all(ground.host.path("run/queue")).unwrap();
    await_that("the queue", || ground.host.path("run/queue").is_dir() && ground.queued() == 2);
    ground.finish(&one);
    first.gets_in();
    assert!(second.still_waits());
    ground.finish(&two);
    second.gets_in();
    ground.finish(&three);
}

#[test]
fn a_daemon_that_is_stopped_or_restarted_costs_those_that_wait_nothing() {
    let ground = Ground::new("[admission]\nmax_jobs = 1\n");
    let [one, two, three] = jobs();
    ground.let_in(&one);
    let mut second = ground.waiting(&two);
    let mut third = ground.waiting(&three);
    let pid = Pid::from_raw(ground.daemon.pid()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    kill_process(pid, Signal::CONT).unwrap();
    ground.daemon.kill();
    // Long enough for some looks at nothing.
    std::thread::sleep(Duration::from_secs(2));
    assert!(second.still_waits() && third.still_waits());
    ground.daemon.again();
    ground.finish(&one);
    second.gets_in();
    assert!(third.still_waits());
    ground.finish(&two);
    third.gets_in();
    ground.finish(&three);
}

#[test]
fn the_wait_is_as_long_as_is_allowed_over_all_tries() {
    let ground = Ground::new("[admission]\nmax_jobs = 1\nwait = \"2s\"\n");
    let [one, two] = jobs();
    ground.let_in(&one);
    let result = ground.host.runner().run(&two);
    assert_eq!(result.failure_reason, Some(FailureReason::RunnerSystemFailure));
    let tries: Vec<_> = result.calls.iter().filter(|call| call.call == "prepare").collect();
    assert_eq!(tries.len(), 3, "{:?}", result.call_names());
    assert!(tries[0].duration >= Duration::from_secs(2), "{:?}", tries[0].duration);
    for again in &tries[1..] {
        assert_eq!(again.exit, Exit::Code(2));
        assert!(again.duration < Duration::from_secs(1), "{:?}", again.duration);
    }
    let words = ["no place for this job", "admission.wait", "when: runner_system_failure"];
    assert_says(&result.trace_text(), &words);
    ground.finish(&one);
    // Late as it is, there is room now.
    ground.let_in(&two);
    ground.finish(&two);
}

#[test]
fn jobs_are_weighed_by_their_limits() {
    let settings = "[limits]\nmemory = \"64m\"\ncpus = 0.5\n[admission]\nmemory = \"128m\"\n\
                    cpus = 8.0\n";
    let ground = Ground::new(settings);
    let [one, two, three] = jobs();
    ground.let_in(&one);
    ground.let_in(&two);
    let third = ground.waiting(&three);
    let words = ["this job may use 64 MiB of memory, and 0 MiB of 128 MiB is left", "memory"];
    assert_says(&third.told, &words);
    ground.finish(&one);
    third.gets_in();
    for job in [two, three] {
        ground.finish(&job);
    }
}

#[test]
fn what_raw_socket_jobs_leave_running_stops_the_next_until_it_is_removed() {
    let settings = "[admission]\nmax_app_containers = 1\nother_containers = \"infra-*\"\n\
        [[project]]\nprojects = [\"**\"]\ndocker_socket = \"raw\"\n";
    let ground = Ground::new(settings);
    let start = |name: &str| {
        let words = ["run", "-d", "--network", "none", "--name", name, BUSYBOX, "sleep", "600"];
        ground.daemon.docker(&words);
    };
    start("older-than-any-job");
    // Creation is told in seconds.
    let second = Instant::now() + Duration::from_secs(1);
    std::thread::sleep(second - Instant::now());
    let [raw, next] = jobs();
    ground.let_in(&raw);
    ["app-1", "infra-proxy"].into_iter().for_each(start);
    ground.let_in(&next);
    ground.finish(&next);
    start("app-2");
    let waiting = ground.waiting(&next);
    assert_says(&waiting.told, &["2 containers run", "app-1, app-2", "max_app_containers"]);
    ground.finish(&raw);
    // Nobody is left who would remove them.
    let (code, told) = waiting.end();
    assert_eq!(code, Some(2));
    assert_says(&told, &["longshore reap --force-orphans", "other_containers"]);
    reset(&ground);
    ground.let_in(&next);
    ground.finish(&next);
    ground.daemon.docker(&["rm", "-f", "older-than-any-job", "infra-proxy"]);
}

/// Shows, asks, removes on a yes.
fn reset(ground: &Ground) {
    let reap = |words: &[&str], answer: &str| {
        let mut reap = ground.host.bare(&[&["reap", "--force-orphans"], words].concat());
        reap.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = reap.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(answer.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let running = || ground.daemon.docker(&["ps", "--format", "{{.Names}}"]);
    let (code, told) = reap(&["--plan"], "");
    assert_eq!(code, Some(0));
    assert_says(&told, &["container app-1, created ", "container app-2, created "]);
    let (code, told) = reap(&["--plan", "--json"], "");
    assert_eq!(code, Some(0));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["orphans"].as_array().unwrap().len(), 2, "{told}");
    let (code, told) = reap(&[], "n\n");
    assert_eq!(code, Some(1));
    assert_says(&told, &["remove 2 of them? [y/N]"]);
    assert_says(&running(), &["app-1", "app-2"]);
    let (code, told) = reap(&["--yes"], "");
    assert_eq!(code, Some(0), "{told}");
    let left = running();
    assert!(!left.contains("app-"), "{left}");
    assert_says(&left, &["infra-proxy", "older-than-any-job"]);
    assert_says(&reap(&[], "").1, &["no container that a job left running"]);
}

#[test]
fn a_disk_that_is_short_is_made_room_on_then_waited_for_then_named() {
    let short = "[gc]\nfree = { low = \"900t\", high = \"900t\" }\n[admission]\nwait = \"1s\"\n";
    let ground = Ground::new(short);
    let [job] = jobs();
    let output = ground.prepare(&job);
    assert_eq!(output.status.code(), Some(2));
    let words = ["no place for this job", "the file system of ", " free, less than ", "retry: "];
    assert_says(&stderr(&output), &words);
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_says(&log, &["waiting for a place on this host: number 1 of 1", "longshore: removed "]);
    assert_says(&ground.host.ledger(), &["\"event\":\"collected\"", "\"admission\""]);
    await_gone_from(&ground.daemon.socket, &job);
}
