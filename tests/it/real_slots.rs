//! The networks of slots on the real daemon: small ones, of a range that the daemon or the operator chose.

use std::process::Command;

use crate::support::job_json::FakeJob;
use crate::support::real::{
    Host, assert_says, await_gone, busybox, docker_host, get, left_of, stderr,
};

/// Slots of a test's own, whose networks go with this value.
struct Slots(String);

impl Slots {
    fn new() -> Self {
        Self(format!("longshore-test-slots-{}-", FakeJob::new().id))
    }

    fn host(&self) -> Host {
        Host::new().docker("slot_prefix", &format!("{:?}", self.0))
    }

    /// Name, subnet and range of each of them, in the order of their names.
    fn networks(&self) -> Vec<(String, String, String)> {
        let all = get("/networks");
        let ours = all
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["Name"].as_str().unwrap().starts_with(&self.0));
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let mut ours: Vec<_> = ours
            .map(|one| {
                let subnet = text(&one["IPAM"]["Config"][0]["Subnet"]);
                (text(&one["Name"]), subnet, text(&one["Labels"]["longshore.pool"]))
            })
            .collect();
        ours.sort();
        ours
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for (name, _, _) in self.networks() {
            docker(&["network", "rm", &name]);
        }
    }
}

fn docker(words: &[&str]) -> bool {
    let done = Command::new("docker").args(["-H", &docker_host()]).args(words).output().unwrap();
    done.status.success()
}

/// A job without a helper, prepared and left standing.
fn prepared(host: &Host) -> (FakeJob, std::process::Output) {
    let job = busybox(["true"]).variable("GIT_STRATEGY", "none");
    let output = host.call(&job, &["prepare"]);
    (job, output)
}

fn finished(host: &Host, jobs: &[FakeJob]) {
    for job in jobs {
        assert!(host.call(job, &["cleanup"]).status.success());
    }
    jobs.iter().for_each(await_gone);
}

#[test]
fn slots_share_one_of_the_daemons_ranges() {
    let slots = Slots::new();
    let host = slots.host();
    let jobs: Vec<FakeJob> = (0..3)
        .map(|_| {
            let (job, output) = prepared(&host);
            assert!(output.status.success(), "{}", stderr(&output));
            job
        })
        .collect();
    let networks = slots.networks();
    finished(&host, &jobs);
    let ranges: Vec<&str> = networks.iter().map(|(_, _, range)| range.as_str()).collect();
    assert_eq!(ranges.len(), 3, "{networks:?}");
    assert!(ranges.iter().all(|range| *range == ranges[0] && !range.is_empty()), "{networks:?}");
    for (number, (name, subnet, _)) in networks.iter().enumerate() {
        assert_eq!(*name, format!("{}{number}", slots.0));
        assert!(subnet.ends_with("/26"), "{networks:?}");
    }
}

#[test]
fn the_operators_range_is_shared_out_around_what_is_taken() {
    let slots = Slots::new();
    let third = std::process::id() % 256;
    let (range, taken) = (format!("10.216.{third}.0/24"), format!("10.216.{third}.64/27"));
    let host = slots.host().docker("slot_pool", &format!("{range:?}"));
    assert!(docker(&["network", "create", "--subnet", &taken, &format!("{}taken", slots.0)]));
    let (jobs, outputs): (Vec<_>, Vec<_>) = (0..4).map(|_| prepared(&host)).unzip();
    let networks = slots.networks();
    let left = left_of(&jobs[3]);
    finished(&host, &jobs);
    for output in &outputs[..3] {
        assert!(output.status.success(), "{}", stderr(output));
    }
    let subnets: Vec<&str> = networks.iter().map(|(_, subnet, _)| subnet.as_str()).collect();
    let expected = ["0/26", "128/26", "192/26", "64/27"];
    assert_eq!(subnets, expected.map(|end| format!("10.216.{third}.{end}")));
    assert_eq!(outputs[3].status.code(), Some(2));
    assert_says(&stderr(&outputs[3]), &[&range, "[docker] slot_pool", "longshore reap"]);
    assert_eq!(left, [""; 0]);
}
