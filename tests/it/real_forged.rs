//! A job whose author sets `CI_JOB_STATUS`, which hides the runner's: neither what the ledger adds up to nor
//! whether tags are pruned follows from it, in either direction.

use serde_json::Value;

use crate::support::left::docker;
use crate::support::names::{OwnImage, unique};
use crate::support::real::{Host, await_gone, busybox, docker_host};
use crate::support::running::JobStatus;

const SHA: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// A repository of this host with a delivered image.
struct Delivered {
    image: OwnImage,
    path: String,
}

impl Delivered {
    fn new() -> Self {
        let delivered = Self { image: OwnImage::make(), path: format!("group/{}", unique()) };
        for tag in ["latest", SHA] {
            let name = format!("{}:{tag}", delivered.repository());
            docker(&docker_host(), &["tag", &delivered.image.tag, &name]);
        }
        delivered
    }

    fn repository(&self) -> String {
        format!("registry.example:5000/{}", self.path)
    }

    fn tags(&self) -> Vec<String> {
        let told = docker(&docker_host(), &["images", "--format", "{{.Tag}}", &self.repository()]);
        let mut tags: Vec<String> = told.lines().map(str::to_owned).collect();
        tags.sort();
        tags
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        for tag in self.tags() {
            docker(&docker_host(), &["rmi", &format!("{}:{tag}", self.repository())]);
        }
    }
}

fn outcomes(host: &Host) -> Value {
    let status = host.bare(&["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    status["totals"]["jobs"].clone()
}

#[test]
fn what_a_job_says_of_its_own_status_counts_for_nothing() {
    for (script, said, status, outcome) in [
        ("false", "success", JobStatus::Failed, "failed"),
        ("true", "failed", JobStatus::Success, "success"),
        ("true", "canceled", JobStatus::Success, "success"),
    ] {
        let delivered = Delivered::new();
        let host = Host::new();
        let job = busybox([script])
            .stage("delivery")
            .project(42, &delivered.path)
            .registry_image(&delivered.repository())
            .sha(SHA)
            .variable("CI_JOB_STATUS", said);
        let result = host.runner().run(&job);
        await_gone(&job);
        assert_eq!(result.status, status, "{}", result.trace_text());
        host.await_workers();
        let left: &[&str] = if script == "true" { &["latest"] } else { &[SHA, "latest"] };
        assert_eq!(delivered.tags(), left, "{said}");
        assert_eq!(outcomes(&host), serde_json::json!({ outcome: 1 }), "{said}");
        assert!(host.ledger().contains("\"status\":\"unknown\""), "{}", host.ledger());
    }
}
