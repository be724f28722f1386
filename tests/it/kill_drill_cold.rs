//! The drill where nothing is there yet, and for what only some jobs do: a pull, a slot's first network, the
//! first fill of the agent volume; a service, and the prune after a delivery. On daemons of its own, so that
//! what is to be there or not is this test's to say.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use longshore::stage::agent_volume;
use serde_json::{Value, json};

use crate::support::drill::{Course, Drill, LEASED, job, sweep, sweep_at};
use crate::support::fake_registry::FakeRegistry;
use crate::support::image::Image;
use crate::support::job_json::{FakeJob, image_value};
use crate::support::kill_points::{Point, Side};
use crate::support::private_engine::Daemon;
use crate::support::real::{BINARY, BUSYBOX, busybox, get_from};

/// A daemon has one job at a time, which mostly waits for it.
const AT_ONCE: usize = 3;

/// The links between daemons and this host.
const OPTIONS: &[&str] = &["--insecure-registry=10.213.78.0/24"];

const SLOT: &str = "longshore-test-slot-0";
const DELIVERED: &str = "longshore-test/delivered:1";
const REPOSITORY: &str = "registry.example:5000/group/drill";
/// The daemon's first line of a pull.
const PULLING: &str = "POST /v1./images/create Pulling from";
const LOOK_AT_SERVICE: &str = "GET /v1./containers/JOB-service-/json";
const SHA: &str = "00000000abcdef0123456789abcdef0123456789";

/// A daemon that is made ready for each try.
struct Place {
    daemon: Daemon,
    registry: FakeRegistry,
    tries: AtomicUsize,
}

impl Place {
    fn all() -> Vec<Self> {
        let starting: Vec<JoinHandle<Daemon>> =
            (0..AT_ONCE).map(|_| spawn(|| Daemon::in_memory("size=512m", OPTIONS))).collect();
        let daemons: Vec<Daemon> = starting.into_iter().map(|one| one.join().unwrap()).collect();
        let registry = FakeRegistry::start_at(&daemons[0].gateway(), Image::unique());
        let place = |daemon: Daemon| {
            daemon.docker_with(&["import", "-", DELIVERED], &[0; 1024]);
            Self { daemon, registry: registry.clone(), tries: AtomicUsize::new(0) }
        };
        daemons.into_iter().map(place).collect()
    }

    fn drill(&self, job: FakeJob) -> Drill {
        let daemon = &self.daemon.socket;
        Drill::new(Course { job, daemon, secret: || LEASED, settings: |host| host })
    }

    /// A job that finds nothing there: no network of its slot, no agent volume, and no image.
    fn cold(&self) -> FakeJob {
        self.remove("network", self.networks());
        self.remove("volume", self.volumes());
        let name = self.registry.reference("pulled");
        self.remove("image", self.tags(&name));
        // What the daemon still is at for a try that was killed has another tag.
        let tag = self.tries.fetch_add(1, Ordering::Relaxed);
        job().image(&format!("{name}:{tag}"))
    }

    /// A delivery with a service, and what it is to prune.
    fn delivery(&self) -> FakeJob {
        for tag in [SHA, "latest"] {
            self.daemon.docker(&["tag", DELIVERED, &format!("{REPOSITORY}:{tag}")]);
        }
        let mut service = image_value(BUSYBOX);
        service["command"] = json!(["httpd", "-f", "-p", "8080"]);
        service["variables"] = json!([{"key": "HEALTHCHECK_TCP_PORT", "value": "8080"}]);
        without_helper()
            .service_value(service)
            .stage("delivery")
            .project(42, "group/drill")
            .registry_image(REPOSITORY)
            .sha(SHA)
    }

    fn killed_cold(&self, point: &Point, side: Side) {
        self.drill(self.cold()).killed(point, side);
        self.assert_clean(&format!("{side:?} {point:?}"));
    }

    /// The runner lives on: it calls `cleanup`, and the rest has to go before its end.
    fn driver_killed_cold(&self, point: &Point, side: Side) {
        let met = self.drill(self.cold()).driver_killed(point, side);
        assert!(met.is_ok(), "{side:?} {point:?}: {met:#?}");
        self.assert_clean(&format!("driver {side:?} {point:?}"));
    }

    /// In the middle of a layer.
    fn killed_while_pulling(&self, point: &Point, side: Side) {
        self.registry.slowly(64, Duration::from_millis(50));
        self.killed_cold(point, side);
        self.registry.slowly(usize::MAX, Duration::ZERO);
    }

    fn killed_delivery(&self, point: &Point, side: Side) {
        let ledger = self.drill(self.delivery()).killed(point, side);
        let context = format!("{side:?} {point:?}");
        self.assert_clean(&context);
        // Whoever was killed after the plan: the reap has carried it out.
        let planned = ledger.contains("\"pruning\"");
        let left = [format!("{REPOSITORY}:{SHA}"), format!("{REPOSITORY}:latest")];
        assert_eq!(self.tags(REPOSITORY), left[usize::from(planned)..], "{context}");
    }

    /// Nothing stays on the whole daemon but what the next job takes.
    fn assert_clean(&self, context: &str) {
        let containers = self.get("/containers/json?all=1");
        assert_eq!(containers, json!([]), "{context}");
        let mut left = self.networks();
        left.retain(|name| name != SLOT);
        let agent = agent_volume::name(Path::new(BINARY)).unwrap();
        let volumes = self.volumes().into_iter();
        left.extend(volumes.filter(|name| *name != agent && !name.starts_with("longshore-cache-")));
        assert_eq!(left, Vec::<String>::new(), "{context}");
    }

    fn networks(&self) -> Vec<String> {
        let mut names = names(&self.get("/networks"));
        names.retain(|name| !["bridge", "host", "none"].contains(&name.as_str()));
        names
    }

    fn volumes(&self) -> Vec<String> {
        names(&self.get("/volumes")["Volumes"])
    }

    /// The names of a repository's images.
    fn tags(&self, repository: &str) -> Vec<String> {
        let images = self.get("/images/json");
        let all = images.as_array().unwrap().iter();
        let tags = all.flat_map(|one| one["RepoTags"].as_array().cloned().unwrap_or_default());
        let tags = tags.map(|tag| tag.as_str().unwrap().to_owned());
        let mut tags: Vec<String> =
            tags.filter(|tag| tag.starts_with(&format!("{repository}:"))).collect();
        tags.sort();
        tags
    }

    fn get(&self, path: &str) -> Value {
        get_from(&self.daemon.socket, path)
    }

    fn remove(&self, kind: &str, names: Vec<String>) {
        for name in names {
            self.daemon.docker(&[kind, "rm", &name]);
        }
    }
}

/// A delivery's tries run it to its end, so it is a small one.
fn without_helper() -> FakeJob {
    busybox(["true"])
}

/// None where the list is null.
fn names(list: &Value) -> Vec<String> {
    let all = list.as_array().cloned().unwrap_or_default();
    all.iter().map(|one| one["Name"].as_str().unwrap().to_owned()).collect()
}

fn assert_has(points: &BTreeSet<Point>, requests: &[&str]) {
    for request in requests {
        assert!(points.iter().any(|point| point.request == *request), "{request}: {points:#?}");
    }
}

#[test]
fn whoever_is_killed_at_a_first_job_or_a_delivery_one_reap_leaves_nothing() {
    let places = Place::all();
    let first = &places[0];
    let passed = |job: FakeJob| BTreeSet::from_iter(first.drill(job).undisturbed());
    let cold = passed(first.cold());
    // What a job does anyway is swept elsewhere.
    let cold = &cold - &passed(job());
    let mut delivery = &passed(first.delivery()) - &passed(without_helper());
    // How often it is looked at depends on how soon it is ready.
    delivery.retain(|point| point.request != LOOK_AT_SERVICE || point.nth == 1);
    assert_has(
        &cold,
        &[
            "POST /v1./images/create",
            "POST /v1./networks/create",
            "PUT /v1./containers/JOB-filler/archive",
            PULLING,
        ],
    );
    assert_has(
        &delivery,
        &[
            "POST /v1./containers/JOB-service-/start",
            LOOK_AT_SERVICE,
            "DELETE /v1./containers/JOB-service-",
        ],
    );
    let pruned = |point: &Point| point.request.starts_with("DELETE /v1./images/");
    assert!(delivery.iter().any(pruned), "{delivery:#?}");
    let points = |points: &BTreeSet<Point>| points.iter().cloned().collect::<Vec<_>>();
    let tries = places.iter().map(|place| |point: &Point, side| place.killed_cold(point, side));
    assert_eq!(sweep(&points(&cold), tries.collect()), cold);
    let tries =
        places.iter().map(|place| |point: &Point, side| place.driver_killed_cold(point, side));
    assert_eq!(sweep_at(&points(&cold), &[Side::After], tries.collect()), cold);
    let pulling: BTreeSet<Point> =
        cold.iter().filter(|point| point.request == PULLING).cloned().collect();
    // One at a time: the registry is all places'.
    let tries = vec![|point: &Point, side: Side| first.killed_while_pulling(point, side)];
    assert_eq!(sweep(&points(&pulling), tries), pulling);
    std::thread::scope(|scope| {
        for place in &places {
            // From here on all of them have what is made once.
            scope.spawn(|| place.drill(without_helper()).undisturbed());
        }
    });
    let tries = places.iter().map(|place| |point: &Point, side| place.killed_delivery(point, side));
    assert_eq!(sweep(&points(&delivery), tries.collect()), delivery);
}
