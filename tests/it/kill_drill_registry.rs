//! The drill at the registry: driver and runner killed before and after each request that the prune after a
//! delivery makes of it. Nothing of the job is left, `latest` and what is kept are what they were, this host's
//! tags go all the same, and the next delivery finishes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore::engine::Repository;
use longshore::host::prune::remote;
use longshore::plan::prune::{PrunePolicy, Rivals};

use crate::support::drill::{Course, Drill, LEASED, sweep};
use crate::support::filled::Filled;
use crate::support::job_json::FakeJob;
use crate::support::kill_points::{Point, Side};
use crate::support::left::docker;
use crate::support::names::OwnImage;
use crate::support::real::{busybox, docker_host, socket};
use crate::support::tag_registry::{Deletes, TagRegistry};

const AT_ONCE: usize = 4;

const KEPT: [&str; 3] = ["latest", "other", "v1"];

/// A registry after a push, and this host with the same image under the same names.
struct Delivered {
    registry: TagRegistry,
    image: OwnImage,
    /// Of its own: another pipeline of the same commit would keep its tag.
    sha: String,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Delivered {
    fn to(deletes: Deletes) -> Self {
        let registry = TagRegistry::start(deletes);
        let sha = format!("89abcdef{:032x}", NEXT.fetch_add(1, Ordering::Relaxed));
        registry.has("delivered", &["latest", "test", &sha, "v1"]);
        registry.has("another", &["other"]);
        let image = OwnImage::make();
        let delivered = Self { registry, image, sha };
        for tag in ["latest", &delivered.sha] {
            docker(&docker_host(), &["tag", &delivered.image.tag, &delivered.local(tag)]);
        }
        delivered
    }

    fn local(&self, tag: &str) -> String {
        format!("{}:{tag}", self.registry.repository())
    }

    fn drill(&self) -> Drill {
        let job: FakeJob = busybox(["true"])
            .stage("delivery")
            .project(42, "team/app")
            .registry_image(&self.registry.repository())
            .sha(&self.sha);
        let drill = Drill::new(Course {
            job,
            daemon: &socket(),
            secret: || LEASED,
            settings: |host| host.table("[prune]\nregistry = true\n"),
        });
        let (points, settings) = drill.points();
        let gate = move |line: &str, work: &mut dyn FnMut()| {
            points.around(&settings, line, work).is_some()
        };
        self.registry.gated(Arc::new(gate));
        drill
    }

    /// What its next delivery does to the registry.
    fn prune_again(&self) {
        let repository = self.registry.repository();
        let policy = PrunePolicy {
            repository: repository.clone(),
            keep: vec!["latest".into(), "v*".into()],
            drop: vec!["test".into(), self.sha.clone()],
            own: vec![self.sha.clone()],
            ..PrunePolicy::default()
        };
        self.registry.gated(Arc::new(|_: &str, work: &mut dyn FnMut()| {
            work();
            true
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let repository = Repository::new(&repository, None).unwrap();
            let plan = remote::plan(&repository, &policy, &Rivals::default()).await.unwrap();
            remote::act(&repository, &policy, (&plan, "again")).await
        });
    }

    /// This host's tags of it.
    fn on_host(&self) -> Vec<String> {
        let repository = self.registry.repository();
        let told = docker(&docker_host(), &["images", "--format", "{{.Tag}}", &repository]);
        told.lines().map(str::to_owned).collect()
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        for tag in self.on_host() {
            docker(&docker_host(), &["rmi", &self.local(&tag)]);
        }
    }
}

fn killed(deletes: Deletes, point: &Point, side: Side) {
    let context = format!("{deletes:?} {side:?} {point:?}");
    let delivered = Delivered::to(deletes);
    let before = delivered.registry.tags();
    delivered.drill().killed(point, side);
    let after = delivered.registry.tags();
    for kept in KEPT {
        assert_eq!(after[kept], before[kept], "{context}");
    }
    assert_eq!(delivered.on_host(), ["latest"], "{context}");
    delivered.prune_again();
    let after = delivered.registry.tags();
    for kept in KEPT {
        assert_eq!(after[kept], before[kept], "{context}");
    }
    assert!(!after.contains_key(&delivered.sha), "{context}: {after:?}");
}

/// What the registry was asked for by one delivery.
fn requests(deletes: Deletes) -> Vec<Point> {
    let mut all = Delivered::to(deletes).drill().undisturbed();
    all.retain(|point| point.request.contains(" /v/"));
    all
}

#[test]
fn whoever_is_killed_at_any_request_to_the_registry_no_kept_tag_is_lost() {
    let _filled = Filled::new();
    for deletes in [Deletes::ByName, Deletes::ByDigest] {
        let points = requests(deletes);
        for deleted in ["DELETE /v/team/app/manifests/test", "DELETE /v/team/app/manifests/ID"] {
            assert!(points.iter().any(|point| point.request == deleted), "{deleted}: {points:#?}");
        }
        let once = |point: &Point, side: Side| killed(deletes, point, side);
        let swept = sweep(&points, vec![once; AT_ONCE]);
        assert_eq!(swept, points.into_iter().collect::<BTreeSet<_>>());
    }
}
