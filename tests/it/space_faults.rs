//! A daemon that is killed or stopped in the middle of a prune or a collection: the call ends and says so,
//! the next one finishes, and nothing went but what was to go.

use std::fs;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use longshore::host::last_use::{Kind, LastUse};
use longshore::host::ledger::Ledger;
use longshore::host::prune::Pending;
use longshore::plan::prune::PrunePolicy;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::in_process::InProcess;
use crate::support::kill_points::{KillPoints, Point, Proxy, Side};
use crate::support::private_engine::Daemon;
use crate::support::real::{BUSYBOX, Host, assert_says, stderr};

const SOON: Duration = Duration::from_mins(1);
const SHA: &str = "5a5a5a5aabcdef0123456789abcdef0123456789";
const REPOSITORY: &str = "registry.example:5000/group/faults";
const OTHER: &str = "registry.example:5000/group/other:test";
/// The disk never has enough: each round is followed by another look.
const GC: &str = "[gc]\nfree = { low = \"900t\", high = \"900t\" }\nmin_age = \"0s\"\nimages = 1\nkeep = [\"longshore-test/**\", \"registry.example:5000/group/faults:*\"]\n";

/// What is under way when the daemon goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// By hand.
    Prune,
    /// Of a plan that stands in the ledger.
    Reap,
    Gc,
}

impl Work {
    const ALL: [Self; 3] = [Self::Prune, Self::Reap, Self::Gc];

    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Prune => &["prune", "--repository", REPOSITORY, "--commit", SHA],
            Self::Reap => &["reap"],
            Self::Gc => &["gc"],
        }
    }

    /// What is left of it when it is done.
    fn leaves(self) -> Vec<String> {
        let tag = |tag: &str| format!("{REPOSITORY}:{tag}");
        match self {
            Self::Prune | Self::Reap => {
                vec![tag("latest"), OTHER.into(), "third:1".into(), "used:1".into()]
            }
            Self::Gc => vec![tag(SHA), tag("latest"), tag("test"), "used:1".into()],
        }
    }
}

struct Ground {
    daemon: Daemon,
    /// The image that was delivered.
    delivered: String,
}

impl Ground {
    fn new() -> Self {
        let daemon = Daemon::in_memory("size=256m", &[]);
        let delivered = image(&daemon, "delivered");
        daemon.docker(&["tag", &image(&daemon, "used"), "used:1"]);
        daemon.docker(&["create", "--name", "user", "used:1", "true"]);
        Self { daemon, delivered }
    }

    /// A delivery and what else there may be, as if nothing had gone yet.
    fn deliver(&self) {
        for tag in ["latest", "test", SHA] {
            self.daemon.docker(&["tag", &self.delivered, &format!("{REPOSITORY}:{tag}")]);
        }
        let tags = self.tags();
        for name in [OTHER, "third:1"] {
            if !tags.contains(&name.to_owned()) {
                self.daemon.docker(&["tag", &image(&self.daemon, name), name]);
            }
        }
    }

    fn tags(&self) -> Vec<String> {
        let all = self.daemon.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        let mut tags: Vec<String> = all.lines().map(str::to_owned).collect();
        tags.retain(|tag| tag != BUSYBOX);
        tags.sort();
        tags
    }

    fn latest(&self) -> String {
        self.id(&format!("{REPOSITORY}:latest"))
    }

    fn id(&self, image: &str) -> String {
        self.daemon.docker(&["image", "inspect", "--format", "{{.Id}}", image])
    }

    /// A host with nothing in its directories but, for a reap, the plan.
    fn host(&self, docker: &str, work: Work) -> Host {
        let host = Host::new().in_memory().docker("host", &format!("{docker:?}")).table(GC);
        if work == Work::Reap {
            let tag = |tag: &str| format!("{REPOSITORY}:{tag}");
            let plan = Pending {
                job: "7-00000000".into(),
                policy: PrunePolicy { repository: REPOSITORY.into(), ..PrunePolicy::default() },
                references: vec![tag(SHA), tag("test")],
                images: vec![self.delivered.clone(), self.delivered.clone()],
                latest: Some(self.delivered.clone()),
            };
            let ledger = Ledger::at(&host.path("state"));
            ledger.append(&plan.event(), SystemTime::now()).unwrap();
        }
        host
    }

    /// The removals of a whole run, in their order.
    fn removals(&self, work: Work) -> Vec<Point> {
        self.deliver();
        let (points, _hits) = KillPoints::of_job(7);
        let proxy = Proxy::before(&points, &self.daemon.socket);
        let done = self.host(&proxy.host(), work).bare(work.words()).output().unwrap();
        assert!(done.status.success(), "{work:?} {done:?}");
        assert_eq!(self.tags(), work.leaves(), "{work:?} {done:?}");
        let all = points.passed().into_iter();
        all.filter(|point| point.request.starts_with("DELETE ")).collect()
    }

    /// Runs it to this point, and kills the daemon there.
    fn killed(&self, work: Work, point: &Point, side: Side) -> (Host, Output) {
        let (points, hits) = KillPoints::of_job(7);
        let proxy = Proxy::before(&points, &self.daemon.socket);
        let host = self.host(&proxy.host(), work);
        points.arm(point, side);
        let mut call = host.bare(work.words());
        let call = call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let hit = hits.recv_timeout(SOON).unwrap();
        self.daemon.kill();
        drop(hit);
        let ended = call.wait_with_output().unwrap();
        self.daemon.again();
        (host.docker("host", &format!("{:?}", self.daemon.host())), ended)
    }
}

/// An image of its own content.
fn image(daemon: &Daemon, content: &str) -> String {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    let bytes = content.repeat(10_000);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, "content", bytes.as_bytes()).unwrap();
    let archive = tar.into_inner().unwrap();
    daemon.docker_with(&["import", "-"], &archive)
}

#[test]
fn a_daemon_that_is_killed_in_the_middle_costs_one_more_call() {
    let ground = Ground::new();
    for work in Work::ALL {
        let removals = ground.removals(work);
        assert!(removals.len() >= 2, "{work:?} {removals:?}");
        for (point, side) in [(&removals[0], Side::Before), (&removals[1], Side::After)] {
            ground.deliver();
            let latest = ground.latest();
            let (host, ended) = ground.killed(work, point, side);
            assert_eq!(ended.status.code(), Some(2), "{work:?} {side:?} {ended:?}");
            let told = stderr(&ended);
            assert_says(&told, &["remove image", "the daemon hung up before it answered"]);
            // Whoever is gone is not asked for the rest.
            assert_eq!(told.matches("remove image").count(), 1, "{told}");
            // What a collection had done until then is told.
            let booked = fs::read_to_string(host.path("state/ledger.jsonl")).unwrap_or_default();
            let collected = booked.matches("\"event\":\"collected\"").count();
            assert_eq!(collected, usize::from(work == Work::Gc), "{booked}");
            assert_eq!(ground.latest(), latest, "{work:?} {side:?}");
            let next = host.bare(work.words()).output().unwrap();
            assert!(next.status.success(), "{work:?} {side:?} {next:?}");
            assert_eq!(ground.tags(), work.leaves(), "{work:?} {side:?}");
            assert_eq!(ground.latest(), latest, "{work:?} {side:?}");
        }
    }
}

/// Its process is stopped at a removal, and goes on later.
#[tokio::test]
async fn a_daemon_that_hangs_in_the_middle_ends_the_call_in_time() {
    let ground = Ground::new();
    for work in [Work::Prune, Work::Gc] {
        let removals = ground.removals(work);
        for (point, side) in [(&removals[0], Side::Before), (&removals[1], Side::After)] {
            ground.deliver();
            let latest = ground.latest();
            let (points, hits) = KillPoints::of_job(7);
            let proxy = Proxy::before(&points, &ground.daemon.socket);
            let host = ground.host(&proxy.host(), work);
            // The call is named by the words of this process.
            let own = points.note(i32::try_from(std::process::id()).unwrap(), "GET /").call;
            points.arm(&Point { call: own, ..point.clone() }, side);
            let pid = Pid::from_raw(ground.daemon.pid()).unwrap();
            let stopper = std::thread::spawn(move || {
                let hit = hits.recv_timeout(SOON).unwrap();
                kill_process(pid, Signal::STOP).unwrap();
                (hit, hits)
            });
            let here = InProcess::new(&host, &proxy.host());
            let began = Instant::now();
            let ended = done(&here, work).await;
            let took = began.elapsed();
            let hit = stopper.join().unwrap();
            kill_process(pid, Signal::CONT).unwrap();
            drop(hit);
            assert!(took < Duration::from_secs(10), "{work:?} {side:?} {took:?}");
            let told = ended.unwrap_err();
            assert_says(&told, &["remove image", "no answer from the daemon within 1s"]);
            // Whoever does not answer is not asked for the rest.
            assert_eq!(told.matches("remove image").count(), 1, "{told}");
            assert!(!told.contains("inspect image"), "{told}");
            let again = InProcess::new(&host, &ground.daemon.host());
            done(&again, work).await.unwrap();
            assert_eq!(ground.tags(), work.leaves(), "{work:?} {side:?}");
            assert_eq!(ground.latest(), latest, "{work:?} {side:?}");
        }
    }
}

async fn done(here: &InProcess, work: Work) -> Result<(), String> {
    let done = match work {
        Work::Prune | Work::Reap => here.prune(REPOSITORY, SHA).await,
        Work::Gc => here.gc().await,
    };
    done.map(drop).map_err(|error| error.to_string())
}

/// By an hour, both ways: what a container uses and what was just used stays, and the order is the same.
#[tokio::test]
async fn a_clock_that_jumps_lets_a_gc_take_nothing_that_was_just_used() {
    let ground = Ground::new();
    ground.deliver();
    let rests = GC.replace("\"0s\"", "\"90m\"");
    let host = Host::new().in_memory().docker("host", &format!("{:?}", ground.daemon.host()));
    let host = host.table(&rests);
    let record = LastUse::at(&host.path("state"));
    // The daemon's own word on the tags is of now: that a record is older does not count.
    let before = ground.tags();
    let here = || InProcess::new(&host, &ground.daemon.host());
    for clock in [
        (|| SystemTime::now() - Duration::from_hours(1)) as fn() -> SystemTime,
        || SystemTime::now() + Duration::from_hours(1),
        SystemTime::now,
    ] {
        here().clock(clock).gc().await.unwrap();
        assert_eq!(ground.tags(), before);
    }
    // Two hours on, all that may go has rested, but for what was used since.
    record
        .note(Kind::Image, &ground.id("third:1"), SystemTime::now() + Duration::from_hours(2))
        .unwrap();
    here().clock(|| SystemTime::now() + Duration::from_hours(2)).gc().await.unwrap();
    let mut left = before.clone();
    left.retain(|tag| tag != OTHER);
    assert_eq!(ground.tags(), left);
    // And back: what was noted in those hours counts as now, and not for ever.
    here().gc().await.unwrap();
    assert_eq!(ground.tags(), left);
    here().clock(|| SystemTime::now() + Duration::from_hours(2)).gc().await.unwrap();
    assert_eq!(ground.tags(), Work::Gc.leaves());
}
