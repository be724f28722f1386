//! Requests that are nearly right, sent through brokers to a daemon of the test's own: whatever they say, what
//! the daemon has made of the accepted ones keeps the invariants of a job's objects (note 3.3). The same mutants
//! go through parser and policy alone, in far greater number, in the tests of the policy.

mod invariants;
#[path = "../../src/broker/policy/tests/mutants.rs"]
mod mutants;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use longshore::plan::Quota;
use serde_json::{Value, json};

use crate::support::brokered::Brokered;
use crate::support::own_daemon::OwnDaemon;
use crate::support::real::get_from;
use invariants::Job;
use mutants::{Fields, Random, World, container, fields};

const IMAGE: &str = "longshore-test/busybox:1";

/// Accepted mutants of one test run; `LONGSHORE_BROKER_ACCEPTED` says otherwise.
const ACCEPTED: usize = 5000;

/// Of those, how many one daemon is to make, which gets slower with each.
const OF_A_DAEMON: usize = 5000;

/// Jobs at once, each with a broker and objects of its own.
const JOBS: usize = 4;

/// Networks of one job: a daemon has addresses for about thirty.
const NETWORKS: usize = 4;

/// A request to make something, and what it would make.
struct Mutant {
    target: String,
    body: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Container,
    Volume,
    Network,
    Image,
}

/// What became of the mutants of a job.
#[derive(Default, Debug)]
struct Shares {
    accepted: usize,
    refused: usize,
    malformed: usize,
    /// Let through by the policy, and refused by the daemon.
    unmade: usize,
}

fn ask(socket: &Path, method: &str, target: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    write!(
        stream,
        "{method} /v1.41{target} HTTP/1.1\r\nHost: docker\r\n{kind}Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// A broker that has what the mutants name, and no bounds to how much.
fn job(daemon: &OwnDaemon) -> (Brokered, Job) {
    let brokered = Brokered::with(daemon.socket(), "slot", |view, rules| {
        view.limits.cgroup_parent = Some("/longshore-fuzz".to_owned());
        view.gateway = Some("172.20.0.1".to_owned());
        let many = usize::MAX / 2;
        rules.quota = Quota { containers: many, networks: many, volumes: many, ..rules.quota };
    });
    daemon.docker(&["volume", "create", &format!("longshore-{}-builds", brokered.key)]);
    let make = |target: &str, body: &Value| {
        let (status, made) = ask(&brokered.socket(), "POST", target, &body.to_string());
        assert_eq!(status, 201, "{made}");
        made["Id"].as_str().unwrap_or_default().to_owned()
    };
    let network = make("/networks/create", &json!({"Name": "net"}));
    make("/volumes/create", &json!({"Name": "data"}));
    let web = make("/containers/create?name=web", &json!({"Image": IMAGE}));
    let key = brokered.key.clone();
    (brokered, Job { key, web, network })
}

fn mutant(random: &mut Random, number: usize, (world, fields): (&World, &Fields)) -> Mutant {
    let (kind, target, body) = match random.below(20) {
        0..4 => {
            let body = json!({
                "Name": format!("v{number}"),
                "Driver": random.one(&["local", "local", "", "nfs"]),
                "DriverOpts": random.one(&[json!(null), json!({}), json!({"type": "proc"})]),
                "Labels": random.one(&[json!({"a": "b"}), json!({"longshore.job": "x"})]),
            });
            (Kind::Volume, "/volumes/create".to_owned(), body.to_string())
        }
        4 if random.below(40) == 0 => {
            let body = json!({
                "Name": format!("n{number}"),
                "Driver": random.one(&["bridge", "bridge", "", "macvlan"]),
                "Internal": random.one(&[true, false]),
                "Options": random.one(&[json!({}), json!({"com.docker.network.driver.mtu": "1400"}),
                    json!({"com.docker.network.bridge.name": "br7"})]),
                "IPAM": random.one(&[json!({}), json!({"Config": [{"Subnet": "169.254.169.0/24"}]})]),
            });
            (Kind::Network, "/networks/create".to_owned(), body.to_string())
        }
        4..7 => {
            let name = random.one(&[
                "app",
                "team/app",
                "localhost/x",
                "registry.longshore.test:5443/team/app",
                "registry.longshore.test:5443/team/app/deep",
                "registry.longshore.test:5443/team/app-two",
                "registry.longshore.test:5443/other/app",
                "longshore.invalid/other/app",
                "../x",
            ]);
            let target = format!("/images/{IMAGE}/tag?repo={name}&tag=t{}", number % 100);
            (Kind::Image, target, String::new())
        }
        _ => {
            let target = format!("/containers/create?name=c{number}");
            (Kind::Container, target, container(random, world, fields))
        }
    };
    Mutant { target, body, kind }
}

/// Sends mutants to one job's broker until enough were accepted, and looks at what came of each.
fn fuzz(daemon: &OwnDaemon, seed: u64, victim: &str, wanted: usize) -> (Shares, Job) {
    let (brokered, job) = job(daemon);
    let images = vec![IMAGE.to_owned(), IMAGE.to_owned(), "python:3.13".to_owned()];
    let world = World { network: job.network.clone(), victim: victim.to_owned(), images };
    let fields = fields(&world);
    let mut random = Random(seed);
    let (mut shares, mut networks) = (Shares::default(), 0);
    for number in 0.. {
        if shares.accepted >= wanted {
            break;
        }
        let mutant = mutant(&mut random, number, (&world, &fields));
        if mutant.kind == Kind::Network && networks >= NETWORKS {
            continue;
        }
        let (status, made) = ask(&brokered.socket(), "POST", &mutant.target, &mutant.body);
        match status {
            201 => shares.accepted += 1,
            400 if made["message"].as_str().unwrap().starts_with("longshore[") => {
                shares.malformed += 1;
            }
            403 | 404 | 415 => shares.refused += 1,
            400 | 409 | 500 => shares.unmade += 1,
            _ => panic!("{status} {made} {} {}", mutant.target, mutant.body),
        }
        if status != 201 {
            continue;
        }
        let look = |path: String| get_from(daemon.socket(), &path);
        let id = made["Id"].as_str().unwrap_or_default();
        match mutant.kind {
            Kind::Container => job.container(&look(format!("/containers/{id}/json"))),
            Kind::Network => {
                networks += 1;
                job.network(&look(format!("/networks/{id}")));
            }
            Kind::Volume => {
                let name = format!("longshore-{}-x-v{number}", job.key);
                job.volume(&look(format!("/volumes/{name}")));
            }
            Kind::Image => {} // all at the end
        }
    }
    (shares, job)
}

/// As many accepted mutants at a daemon of its own; answers what became of all that were sent.
fn round(number: u64, wanted: usize) -> Vec<Shares> {
    let daemon = OwnDaemon::start(&[IMAGE]);
    daemon.docker(&["network", "create", "slot"]);
    let victim = daemon.docker(&["create", "--name", "victim", IMAGE]).trim().to_owned();
    let all: Vec<(Shares, Job)> = std::thread::scope(|scope| {
        let spawn = |seed| {
            let (daemon, victim) = (&daemon, victim.as_str());
            let seed = seed + (number << 16);
            scope.spawn(move || fuzz(daemon, seed, victim, wanted.div_ceil(JOBS)))
        };
        let threads: Vec<_> = [0x5eed, 0xbeef, 0xcafe, 0xf00d].map(spawn).into_iter().collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let images = get_from(daemon.socket(), "/images/json");
    for tag in images.as_array().unwrap().iter().flat_map(|one| one["RepoTags"].as_array().unwrap())
    {
        let tag = tag.as_str().unwrap();
        assert!(tag == IMAGE || all.iter().any(|(_, job)| job.may_name(tag)), "{tag}");
    }
    all.into_iter().map(|(shares, _)| shares).collect()
}

#[test]
fn what_the_daemon_makes_of_accepted_mutants_keeps_the_invariants() {
    let wanted = std::env::var("LONGSHORE_BROKER_ACCEPTED").ok();
    let wanted = wanted.map_or(ACCEPTED, |number| number.parse().unwrap());
    let began = Instant::now();
    let rounds = wanted.div_ceil(OF_A_DAEMON);
    let all: Vec<Shares> =
        (0..).take(rounds).flat_map(|number| round(number, wanted.div_ceil(rounds))).collect();
    let sum = |of: fn(&Shares) -> usize| all.iter().map(of).sum::<usize>();
    let (accepted, refused) = (sum(|one| one.accepted), sum(|one| one.refused));
    let (malformed, unmade) = (sum(|one| one.malformed), sum(|one| one.unmade));
    let mutants = accepted + refused + malformed + unmade;
    let shares = format!(
        "{mutants} mutants: {accepted} accepted and made, {unmade} accepted and not made, {refused} \
         refused, {malformed} malformed, in {:?}",
        began.elapsed()
    );
    println!("{shares}");
    assert!(accepted >= wanted && accepted * 5 >= mutants, "{shares}");
    assert!(refused > 0 && malformed > 0 && unmade * 20 < mutants, "{shares}");
}
