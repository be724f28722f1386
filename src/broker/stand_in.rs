//! A job and its rules for the tests of this room.

use std::sync::{Arc, LazyLock};

use crate::plan::container::{LimitPlan, ResolverPlan};
use crate::plan::{BrokerPlan, Patterns, Quota};

use super::outgoing::{Kind, Outgoing};
use super::policy::{self, Decision};
use super::refusal::Refusal;
use super::request::{Head, Method, Request};
use super::view::{Daemon, JobView, Own, Workspace};

/// The job's key.
pub(super) const KEY: &str = "7-0badcafe";
/// A container of the job called `web`.
pub(super) const WEB: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// A container of another job, called `victim`.
pub(super) const VICTIM: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
/// A network of the job called `net`.
pub(super) const NET: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
/// An image that the job pulled: `busybox:1`.
pub(super) const BUSYBOX: &str =
    "sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
/// An exec instance in `web`.
pub(super) const EXEC: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
/// What the job's secret `PAGE_SECRET` is.
pub(super) const SECRET: &str = "geheim-geheim";

/// A job with a container, a network, a volume, an exec instance and an image.
pub(super) fn view() -> JobView {
    let label = |key: &str, value: &str| (format!("longshore.{key}"), value.to_owned());
    let mut view = JobView {
        key: KEY.to_owned(),
        labels: [label("job", KEY), label("kind", "brokered"), label("project", "team/app")].into(),
        limits: LimitPlan {
            memory_bytes: Some(1 << 30),
            memory_swap_bytes: Some(1 << 30),
            nano_cpus: Some(2_000_000_000),
            pids: Some(512),
            cgroup_parent: Some("/longshore".to_owned()),
            ..LimitPlan::default()
        },
        resolver: ResolverPlan::default(),
        security: Vec::new(),
        runtime: None,
        network: "longshore-slot-3".to_owned(),
        network_id: Some("f".repeat(64)),
        gateway: Some("172.20.0.1".to_owned()),
        job_container: Some(("9".repeat(64), "longshore-7-0badcafe".to_owned())),
        workspace: Workspace {
            volume: "longshore-7-0badcafe-builds".to_owned(),
            mounted_at: "/builds".to_owned(),
            project_dir: "/builds/team/app".to_owned(),
        },
        daemon: Daemon { api_minor: 41, os: "linux".to_owned(), architecture: "amd64".to_owned() },
        secrets: Arc::new(|text| text.contains(SECRET).then(|| "PAGE_SECRET".to_owned())),
        own: Own::default(),
        fresh: "fresh0".to_owned(),
    };
    view.adopt(Kind::Container, WEB, "/longshore-7-0badcafe-x-web");
    view.adopt(Kind::Network, NET, "longshore-7-0badcafe-x-net");
    view.adopt(Kind::Volume, "longshore-7-0badcafe-x-data", "longshore-7-0badcafe-x-data");
    view.adopt(Kind::Exec, EXEC, EXEC);
    view.record_image("docker.io/library/busybox:1", BUSYBOX);
    view
}

/// What the operator allows it.
pub(super) fn rules() -> BrokerPlan {
    let patterns =
        |all: &[&str]| Patterns::new(all.iter().map(|one| (*one).to_owned()).collect()).unwrap();
    BrokerPlan {
        repository: Some("registry.example/team/app".to_owned()),
        allowed_images: patterns(&["busybox:*", "docker.io/library/*", "base.example/**"]),
        shared_images: patterns(&["shared:1"]),
        push_tags: patterns(&["test"]),
        publish: true,
        bake: vec![("PAGE_SECRET".to_owned(), "registry.example/team/app".to_owned())],
        quota: Quota { containers: 4, networks: 2, volumes: 3, execs: 2, upload_bytes: 1 << 20 },
    }
}

/// Made once: patterns take their time.
static RULES: LazyLock<BrokerPlan> = LazyLock::new(rules);

/// A request as it is sent, and what is decided.
pub(super) fn ask_of(view: &JobView, method: Method, target: &str, body: &str) -> Decision {
    let head = Head {
        method,
        target: target.to_owned(),
        content_type: (!body.is_empty()).then(|| "application/json".to_owned()),
        has_body: !body.is_empty(),
    };
    match Request::read(&head, body.as_bytes()) {
        Ok(request) => policy::decide(&request, view, &RULES),
        Err(refusal) => Decision::Refuse(refusal),
    }
}

/// The same of the job above.
pub(super) fn ask(method: Method, target: &str, body: &str) -> Decision {
    ask_of(&view(), method, target, body)
}

/// What goes to the daemon.
pub(super) fn allowed(method: Method, target: &str, body: &str) -> Outgoing {
    match ask(method, target, body) {
        Decision::Allow(outgoing) => *outgoing,
        other => panic!("{target} {body}: {other:?}"),
    }
}

/// Why nothing does.
pub(super) fn refused(method: Method, target: &str, body: &str) -> Refusal {
    match ask(method, target, body) {
        Decision::Refuse(refusal) => refusal,
        other => panic!("{target} {body}: {other:?}"),
    }
}

/// The body that goes to the daemon.
pub(super) fn body(outgoing: &Outgoing) -> serde_json::Value {
    match &outgoing.body {
        super::outgoing::OutBody::Json(bytes) => serde_json::from_slice(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}
