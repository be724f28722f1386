//! The drill at what a job's Docker client asks for: the driver, which is the broker, and its runner killed
//! before and after each request that it makes of the daemon for a script that builds, runs, and creates a
//! network and a volume. One `reap` later there is none of it, nor of the job's own images.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::drill::{Course, Drill, LEASED, sweep};
use crate::support::filled::Filled;
use crate::support::job_json::FakeJob;
use crate::support::kill_points::{Point, Side};
use crate::support::left::docker;
use crate::support::names::unique;
use crate::support::real::{BUSYBOX, docker_host, socket};

/// An image with Docker's command line.
const CLIENT: &str = "docker:28-cli";

const AT_ONCE: usize = 4;

/// An image of one try's own: what is built from it, and runs of it, is that try's.
struct Base {
    name: String,
}

impl Base {
    fn make() -> Self {
        // Its own part is of digits alone, so that it is no part of a point's name.
        let own: String = unique().chars().filter(char::is_ascii_digit).collect();
        let name = format!("longshore-test/base:{own}");
        let label = format!("LABEL longshore-test={name}");
        let words = ["--change", &label, "--message", "base"];
        let container = docker(&docker_host(), &["create", BUSYBOX]);
        docker(&docker_host(), &[&["commit"], &words[..], &[&container, &name]].concat());
        docker(&docker_host(), &["rm", &container]);
        Self { name }
    }

    fn containers(&self) -> String {
        let filter = format!("ancestor={}", self.name);
        docker(&docker_host(), &["ps", "--all", "--quiet", "--filter", &filter])
    }
}

impl Drop for Base {
    /// With what builds that were cut short have left of it: layers without a name, which a `gc` takes.
    fn drop(&mut self) {
        let filter = format!("label=longshore-test={}", self.name);
        let words = ["-H", &docker_host(), "images", "--quiet", "--filter", &filter];
        let listed = Command::new("docker").args(words).output().unwrap();
        for id in String::from_utf8(listed.stdout).unwrap().lines() {
            drop(
                Command::new("docker").args(["-H", &docker_host(), "rmi", "--force", id]).output(),
            );
        }
    }
}

fn job(base: &Base) -> FakeJob {
    let dockerfile = format!("printf 'FROM {}\\nRUN echo built > /made\\n'", base.name);
    FakeJob::new().image(CLIENT).script([
        "export DOCKER_BUILDKIT=0",
        &format!("{dockerfile} | docker build -t mine:1 -"),
        "docker tag mine:1 mine/below:2",
        "docker network create inner",
        "docker volume create store",
        "docker run -d --name web --network inner -v store:/store mine:1 sleep 300",
        "docker exec web true",
        "docker run --name once mine/below:2 cat /made",
    ])
}

fn drill(job: FakeJob) -> Drill {
    Drill::new(Course {
        job,
        daemon: &socket(),
        secret: || LEASED,
        settings: |host| {
            host.docker("docker_socket", "\"brokered\"")
                .docker("shared_images", "[\"longshore-test/*\"]")
                .table("[broker]\nallowed_images = [\"longshore-test/*\"]\n")
        },
    })
}

fn killed(point: &Point, side: Side) {
    let base = Base::make();
    drill(job(&base)).killed(point, side);
    // The daemon itself ends what a build whose client is gone was at.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !base.containers().is_empty() {
        assert!(Instant::now() < deadline, "{side:?} {point:?}: {}", base.containers());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn whoever_is_killed_at_any_request_of_the_broker_one_reap_leaves_nothing() {
    let _filled = Filled::new();
    let base = Base::make();
    let passed = |job: FakeJob| BTreeSet::from_iter(drill(job).undisturbed());
    let silent = passed(FakeJob::new().image(CLIENT).script(["true"]));
    let mut points = &passed(job(&base)) - &silent;
    // How many networks a `prepare` tries depends on who else is at it.
    points.retain(|point| point.call == "run build_script");
    for request in [
        "POST /v1./build",
        "POST /v1./containers/create",
        "POST /v1./networks/create",
        "POST /v1./volumes/create",
    ] {
        assert!(points.iter().any(|point| point.request == request), "{request}: {points:#?}");
    }
    let all: Vec<Point> = points.iter().cloned().collect();
    assert_eq!(sweep(&all, vec![killed; AT_ONCE]), points);
}
