//! Those that remove things beside each other and beside jobs: nobody loses what it needs, and each removes
//! its own.

use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::fake_registry::FakeRegistry;
use crate::support::image::Image;
use crate::support::job_json::FakeJob;
use crate::support::private_engine::Daemon;
use crate::support::real::{BUSYBOX, Host, assert_says, await_gone_from, busybox};

const REPOSITORY: &str = "registry.example:5000/group/both";
const ONE: &str = "1111111100000000111111110000000011111111";
const TWO: &str = "2222222200000000222222220000000022222222";

fn host(daemon: &Daemon) -> Host {
    Host::new().in_memory().docker("host", &format!("{:?}", daemon.host()))
}

/// Two pipelines that have delivered the same repository, the second one last.
fn deliver(daemon: &Daemon) -> String {
    let image = |label: &str| {
        let words = ["import", "--change", &format!("LABEL of={label}"), "-"];
        daemon.docker_with(&words, &[0; 1024])
    };
    let (first, last) = (image(ONE), image(TWO));
    for (image, tag) in [(&first, ONE), (&last, TWO), (&last, "test"), (&last, "latest")] {
        daemon.docker(&["tag", image, &format!("{REPOSITORY}:{tag}")]);
    }
    last
}

fn tags(daemon: &Daemon) -> String {
    daemon.docker(&["images", "--format", "{{.Tag}}", "--no-trunc", REPOSITORY])
}

fn latest(daemon: &Daemon) -> String {
    let name = format!("{REPOSITORY}:latest");
    daemon.docker(&["image", "inspect", "--format", "{{.Id}}", &name])
}

#[test]
fn two_prunes_at_once_take_their_own_and_leave_latest() {
    let daemon = Daemon::in_memory("size=256m", &[]);
    let host = host(&daemon);
    let prune = |commit: &str, pipeline: &str| {
        let words = ["prune", "--repository", REPOSITORY, "--commit", commit, "--pipeline"];
        let mut prune = host.bare(&[&words[..], &[pipeline]].concat());
        prune.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for _ in 0..3 {
        let delivered = deliver(&daemon);
        let both = [prune(ONE, "1"), prune(TWO, "2")];
        let [one, two]: [Output; 2] = both.map(|one| one.wait_with_output().unwrap());
        for (output, own, other) in [(&one, ONE, TWO), (&two, TWO, ONE)] {
            assert!(output.status.success(), "{output:?}");
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_says(&told, &[&format!("remove {REPOSITORY}:{own}")]);
            assert!(!told.contains(other), "{told}");
        }
        assert_eq!((tags(&daemon), latest(&daemon)), ("latest".to_owned(), delivered));
    }
}

/// What the worker of each wrote down when it was done.
fn pruned(host: &Host) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let ledger = host.ledger();
        let events = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let pruned: Vec<String> = events
            .filter(|event| event["event"] == "pruned")
            .map(|event| event["references"].to_string())
            .collect();
        if pruned.len() == 2 {
            return pruned;
        }
        assert!(Instant::now() < deadline, "{ledger}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_pipelines_that_deliver_the_same_repository_at_once_take_their_own() {
    let daemon = Daemon::in_memory("size=256m", &[]);
    let host = host(&daemon);
    let delivered = deliver(&daemon);
    let delivery = |commit: &str, pipeline: u64| {
        busybox(["true"])
            .stage("delivery")
            .project(48, "group/both")
            .registry_image(REPOSITORY)
            .sha(commit)
            .pipeline(pipeline)
    };
    let jobs = [delivery(ONE, 1), delivery(TWO, 2)];
    thread::scope(|scope| {
        for job in &jobs {
            let host = &host;
            scope.spawn(move || host.runner().run(job).assert_success().trace_text());
        }
    });
    for job in &jobs {
        await_gone_from(&daemon.socket, job);
    }
    let pruned = pruned(&host);
    assert!(pruned.iter().all(|one| !(one.contains(ONE) && one.contains(TWO))), "{pruned:?}");
    for own in [ONE, TWO] {
        assert_eq!(pruned.iter().filter(|one| one.contains(own)).count(), 1, "{pruned:?}");
    }
    let left = tags(&daemon);
    // Which of them may take `test`, that both have, depends on who is at work by then.
    assert!(["latest", "latest\ntest", "test\nlatest"].contains(&left.as_str()), "{left}");
    assert_eq!(latest(&daemon), delivered);
}

const OPTIONS: &[&str] = &["--insecure-registry=10.213.78.0/24"];
const AT_ONCE: usize = 8;
const RACE: Duration = Duration::from_secs(10);

/// Collects until told to stop; answers how much went.
fn collect(host: &Host, stop: &AtomicBool) -> usize {
    let mut removed = 0;
    while !stop.load(Ordering::Relaxed) {
        let output = host.bare(&["gc", "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        removed += report["removed"].as_array().unwrap().len();
    }
    removed
}

/// Runs jobs with this image, one after the other, each of which has to pull it where it went.
fn jobs(host: &Host, daemon: &Daemon, image: &str, until: Instant) -> usize {
    let mut count = 0;
    while Instant::now() < until {
        let job = FakeJob::new().image(image).script(["echo ran"]);
        let trace = host.runner().run(&job).assert_success().trace_text();
        // A second try of prepare would hide it.
        for lost in ["No such image", "was it just pruned"] {
            assert!(!trace.contains(lost), "{trace}");
        }
        await_gone_from(&daemon.socket, &job);
        count += 1;
    }
    count
}

/// Two collectors, without any rest for what was just used: only leases and containers protect it.
#[test]
fn eight_jobs_race_two_collectors_and_none_loses_its_image() {
    let daemon = Daemon::in_memory("size=512m", OPTIONS);
    let images: Vec<String> = (0..AT_ONCE)
        .map(|_| FakeRegistry::start_at(&daemon.gateway(), Image::unique()))
        .map(|registry| registry.reference("group/raced:1"))
        .collect();
    let keep = format!("[gc]\nmin_age = \"0s\"\nimages = 1\nkeep = \"{BUSYBOX}\"\n");
    let host = host(&daemon).table(&keep);
    let (stop, until) = (AtomicBool::new(false), Instant::now() + RACE);
    let (removed, counts) = thread::scope(|scope| {
        let collectors = [(); 2].map(|()| scope.spawn(|| collect(&host, &stop)));
        let (host, daemon) = (&host, &daemon);
        let racers: Vec<_> = images
            .iter()
            .map(|image| scope.spawn(move || jobs(host, daemon, image, until)))
            .collect();
        let counts: Vec<_> = racers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        (collectors.map(|one| one.join().unwrap()), counts)
    });
    let counts: Vec<usize> = counts.into_iter().map(Result::unwrap).collect();
    eprintln!("{counts:?} jobs in {RACE:?}, {removed:?} removed");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // It was a race.
    assert!(removed.iter().sum::<usize>() > 0, "{removed:?}");
}
