//! Jobs that pull while somebody prunes the very same tag without a pause: no job fails, and what is about to
//! be used does not go.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fake_registry::FakeRegistry;
use crate::support::image::Image;
use crate::support::job_json::FakeJob;
use crate::support::names::unique;
use crate::support::real::{Host, await_gone, stderr};

/// How long it goes on; `LONGSHORE_TEST_RACE_SECONDS` makes it longer by hand.
const RACE: Duration = Duration::from_secs(15);
const AT_ONCE: usize = 8;
const SHA: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// How the pruning went.
#[derive(Debug, Default)]
struct Pruned {
    removed: usize,
    leased: usize,
    used: usize,
}

/// Prunes until told to stop.
fn prune(host: &Host, repositories: &[String], stop: &AtomicBool) -> Pruned {
    let mut pruned = Pruned::default();
    for repository in repositories.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
        let words = ["prune", "--repository", repository, "--commit", SHA];
        let output = host.bare(&words).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let told = String::from_utf8(output.stdout).unwrap();
        pruned.used += told.matches("a container uses it").count();
        let leased = told.matches("a job is about to use it").count();
        pruned.leased += leased;
        // What is planned and not told to be kept is gone.
        let planned = told.matches("remove ").count();
        pruned.removed += planned - told.matches("\nkept ").count();
    }
    pruned
}

/// Runs jobs of this image, one after the other; answers how many.
fn jobs(host: &Host, image: &str, until: Instant) -> usize {
    let mut count = 0;
    while Instant::now() < until {
        let job = FakeJob::new().image(image).script(["echo ran"]);
        let result = host.runner().run(&job);
        let trace = result.assert_success().trace_text();
        // A second try of prepare would hide it.
        for lost in ["No such image", "was it just pruned"] {
            assert!(!trace.contains(lost), "{trace}");
        }
        await_gone(&job);
        count += 1;
    }
    count
}

#[test]
fn eight_jobs_race_a_pruner_and_none_fails() {
    let given = std::env::var("LONGSHORE_TEST_RACE_SECONDS").ok();
    let race = given.map_or(RACE, |text| Duration::from_secs(text.parse().unwrap()));
    // An image for each: one for all would be in use all the time.
    let registries: Vec<_> = (0..AT_ONCE).map(|_| FakeRegistry::start(Image::unique())).collect();
    let path = format!("group/{}", unique());
    let repositories: Vec<String> = registries.iter().map(|one| one.reference(&path)).collect();
    let images: Vec<String> = repositories.iter().map(|name| format!("{name}:{SHA}")).collect();
    let host = Host::new();
    let hosts: Vec<Host> = (0..AT_ONCE).map(|_| Host::new()).collect();
    let stop = AtomicBool::new(false);
    let until = Instant::now() + race;
    let (pruned, counts) = thread::scope(|scope| {
        let pruner = scope.spawn(|| prune(&host, &repositories, &stop));
        let racers = hosts.iter().zip(&images);
        let racers: Vec<_> =
            racers.map(|(host, image)| scope.spawn(move || jobs(host, image, until))).collect();
        let counts: Vec<_> = racers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        (pruner.join().unwrap(), counts)
    });
    drop(Command::new("docker").args(["image", "rm", "--force"]).args(&images).output());
    let all: usize = counts.into_iter().map(Result::unwrap).sum();
    eprintln!("{all} jobs in {race:?}, {pruned:?}");
    assert!(all >= AT_ONCE, "{all}");
    // It was a race: the pruner did take images away, and was held off as well.
    assert!(pruned.removed > 0 && pruned.leased > 0, "{pruned:?}");
}
