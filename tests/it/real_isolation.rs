//! What the operator's limits and rights become on a container that runs, key by key, and what a job is
//! told of what is unsafe.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::blame::{blames_the_host, blames_the_job};
use crate::support::job_json::FakeJob;
use crate::support::real::{
    BUSYBOX, Host, assert_says, await_gone, busybox, get, job_container, left_of,
};

/// Runs a job until its script runs, looks at its containers, and ends it: job, helper, the log.
fn looked_at(host: &Host, job: FakeJob) -> (Value, Value, String) {
    let job = job.script(["echo ready", "sleep 300"]);
    let running = host.runner().start(&job);
    running.wait_for_output("\nready", Duration::from_mins(1));
    let name = job_container(&job);
    let own = get(&format!("/containers/{name}/json"));
    let helper = left_of(&job).into_iter().find(|name| name.ends_with("-helper"));
    let helper = helper.map(|name| get(&format!("/containers/{name}/json"))).unwrap_or_default();
    running.abort();
    let trace = running.join().trace_text();
    await_gone(&job);
    (own, helper, trace)
}

/// A job with a helper: its stages do nothing.
fn with_helper(job: FakeJob) -> FakeJob {
    job.sources("git://127.0.0.1:1/none.git", &"0".repeat(40))
        .stage_script("get_sources", "#!/bin/sh\ntrue\n")
}

fn assert_has(container: &Value, expected: &[(&str, Value)]) {
    let has: Vec<_> = expected
        .iter()
        .map(|(key, _)| (*key, container.pointer(key).cloned().unwrap_or_default()))
        .collect();
    assert_eq!(has, expected);
}

const EVERY_KEY: &str = r#"
[docker.labels]
"team.example/owner" = "of $CI_PROJECT_PATH"
[limits]
memory = "256m"
memory_swap = "512m"
memory_reservation = "128m"
cpus = 0.5
cpuset_cpus = "0"
cpuset_mems = "0"
cpu_shares = 512
pids = 300
shm_size = "16m"
ulimits = { nofile = "1024:2048", core = 0 }
[isolation]
cap_add = "SYS_PTRACE"
cap_drop = ["CAP_MKNOD"]
security_opt = "seccomp=unconfined"
runtime = "runc"
userns = "host"
devices = ["/dev/null:/dev/nothing:r"]
device_cgroup_rules = "c 1:3 r"
sysctls = { "net.core.somaxconn" = "77" }
group_add = "77"
tmpfs = { "/scratch" = "size=1m" }
[network]
dns = "192.0.2.53"
dns_search = "example.com"
dns_options = "ndots:2"
extra_hosts = "db.example.com:192.0.2.7"
hostname = "ci-$CI_JOB_NAME"
[helper.limits]
memory = "512m"
pids = 200
[helper.isolation]
cap_add = "SYS_NICE"
"#;

#[test]
fn every_key_reaches_the_container() {
    let host = Host::new().docker("docker_socket", "\"off\"").table(EVERY_KEY);
    let (job, helper, trace) = looked_at(&host, with_helper(busybox([""])));
    let expected = [
        ("/HostConfig/Memory", json!(256 << 20)),
        ("/HostConfig/MemorySwap", json!(512 << 20)),
        ("/HostConfig/MemoryReservation", json!(128 << 20)),
        ("/HostConfig/NanoCpus", json!(500_000_000)),
        ("/HostConfig/CpusetCpus", json!("0")),
        ("/HostConfig/CpusetMems", json!("0")),
        ("/HostConfig/CpuShares", json!(512)),
        ("/HostConfig/PidsLimit", json!(300)),
        ("/HostConfig/ShmSize", json!(16 << 20)),
        (
            "/HostConfig/Ulimits",
            json!([{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 1024, "Hard": 2048}]),
        ),
        ("/HostConfig/SecurityOpt", json!(["no-new-privileges", "seccomp=unconfined"])),
        ("/HostConfig/Runtime", json!("runc")),
        ("/HostConfig/UsernsMode", json!("host")),
        ("/HostConfig/Devices/0/PathInContainer", json!("/dev/nothing")),
        ("/HostConfig/Devices/0/CgroupPermissions", json!("r")),
        ("/HostConfig/DeviceCgroupRules", json!(["c 1:3 r"])),
        ("/HostConfig/Sysctls", json!({"net.core.somaxconn": "77"})),
        ("/HostConfig/GroupAdd", json!(["77"])),
        ("/HostConfig/Tmpfs", json!({"/scratch": "size=1m"})),
        ("/HostConfig/Dns", json!(["192.0.2.53"])),
        ("/HostConfig/DnsSearch", json!(["example.com"])),
        ("/HostConfig/DnsOptions", json!(["ndots:2"])),
        ("/HostConfig/ExtraHosts", json!(["db.example.com:192.0.2.7"])),
        ("/HostConfig/Privileged", json!(false)),
        ("/Config/Hostname", json!("ci-test")),
        ("/Config/Labels/team.example~1owner", json!("of group/project")),
    ];
    assert_has(&job, &expected);
    let capabilities = job["HostConfig"]["CapAdd"].to_string();
    assert_says(&capabilities, &["SYS_PTRACE", "SETUID"]);
    assert!(!capabilities.contains("MKNOD") && !capabilities.contains("NET_RAW"), "{capabilities}");
    let helpers = [
        ("/HostConfig/Memory", json!(512 << 20)),
        // The job's swap was meant for the job's memory.
        ("/HostConfig/MemorySwap", json!(512 << 20)),
        ("/HostConfig/PidsLimit", json!(200)),
        // Of limits what is left out holds as for the job, of rights nothing does.
        ("/HostConfig/NanoCpus", json!(500_000_000)),
        ("/HostConfig/SecurityOpt", json!(["no-new-privileges"])),
        ("/HostConfig/Sysctls", Value::Null),
        ("/Config/Labels/team.example~1owner", json!("of group/project")),
    ];
    assert_has(&helper, &helpers);
    let capabilities = helper["HostConfig"]["CapAdd"].to_string();
    assert!(capabilities.contains("SYS_NICE") && !capabilities.contains("SYS_PTRACE"));
    let unsafe_in_force =
        ["(cap_add): SYS_PTRACE", "usual confinement", "devices of this host: /dev/null", "userns"];
    assert_says(&trace, &unsafe_in_force);
}

#[test]
fn the_kernel_holds_a_job_to_its_defaults() {
    let script = [
        "grep NoNewPrivs /proc/self/status",
        // Bit 13 is CAP_NET_RAW.
        "echo raw=$(( 0x$(grep CapBnd /proc/self/status | cut -f2) >> 13 & 1 ))",
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null || true",
    ];
    let result = Host::new().run(&busybox(script));
    let printed = result.assert_success().call("build_script").stdout();
    assert_says(&printed, &["NoNewPrivs:\t1", "raw=0", "\n4096\n"]);
    assert!(!result.trace_text().contains("this job "), "{}", result.trace_text());
}

#[test]
fn a_share_is_the_host_by_the_runners_concurrency() {
    let host =
        Host::new().top("concurrency", "2").table("[limits]\nmemory = \"auto\"\ncpus = \"auto\"\n");
    let (job, ..) = looked_at(&host, busybox([""]));
    let info = get("/info");
    let near = |has: &Value, all: f64| (has.as_f64().unwrap() - all / 2.0).abs() < all / 100.0;
    assert!(near(&job["HostConfig"]["Memory"], info["MemTotal"].as_f64().unwrap()), "{info}");
    let cpus = std::thread::available_parallelism().unwrap().get();
    assert!(near(&job["HostConfig"]["NanoCpus"], 1e9 * f64::from(u32::try_from(cpus).unwrap())));
}

#[test]
fn a_privileged_job_is_told_so_and_only_with_a_listed_image() {
    let host = |images: &str| {
        let keys = format!("privileged = true\nallowed_privileged_images = {images}\n");
        Host::new().table(&format!("[isolation]\n{keys}"))
    };
    // A daemon that itself runs in a container cannot start a privileged one: what it is asked for counts.
    let plan = host("[\"longshore-test/**\"]").call(&busybox(["true"]), &["plan"]);
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let expected = [
        ("/rights/isolation/privileged", json!(true)),
        ("/rights/security", json!([])),
        ("/helper_rights/isolation/privileged", json!(false)),
    ];
    assert_has(&plan, &expected);
    assert_says(
        &plan["notices"].to_string(),
        &["this job is privileged: its scripts can do on this host"],
    );
    let (job, _, trace) = looked_at(&host("[\"docker:*\"]"), busybox([""]));
    assert_has(&job, &[("/HostConfig/Privileged", json!(false))]);
    assert_says(&trace, &["not privileged", BUSYBOX, "allowed_privileged_images"]);
}

#[test]
fn the_hosts_network_is_told_so() {
    let host = Host::new().table("[network]\nmode = \"host\"\n");
    let (job, helper, trace) = looked_at(&host, with_helper(busybox([""])));
    assert_has(&job, &[("/HostConfig/NetworkMode", json!("host"))]);
    let joined = helper["HostConfig"]["NetworkMode"].as_str().unwrap();
    assert!(joined.starts_with("container:"), "{joined}");
    assert_says(&trace, &["on the host's own network"]);
}

#[test]
fn a_job_chooses_a_network_from_the_operators_list_alone() {
    let host = Host::new().table("[network]\nallowed_modes = [\"none\", \"bridge\"]\n");
    let job = |mode: &str| busybox([""]).variable("LONGSHORE_NETWORK_MODE", mode);
    let (none, _, trace) = looked_at(&host, job("none"));
    assert_has(&none, &[("/HostConfig/NetworkMode", json!("none"))]);
    assert!(!trace.contains("shares the network"), "{trace}");
    let (_, _, trace) = looked_at(&host, job("bridge"));
    assert_says(&trace, &["shares the network bridge with other containers"]);
    let words = ["the network mode host", "LONGSHORE_NETWORK_MODE", "allowed: slot, none, bridge"];
    blames_the_job(&host, &job("host"), &words);
}

#[test]
fn a_projects_rule_overrides_every_key() {
    let rule = r#"
[limits]
memory = "256m"
cpu_shares = 512
[isolation]
cap_add = "SYS_PTRACE"
[[project]]
projects = "group/**"
protected_only = true
pull_policy = "never"
labels = { team = "x" }
limits = { memory = "128m" }
isolation = { no_new_privileges = false }
network = { hostname = "of-the-project" }
helper = { limits = { memory = "64m" } }
"#;
    let host = Host::new().table(rule);
    let (job, helper, trace) = looked_at(&host, with_helper(busybox([""])));
    let expected = [
        ("/HostConfig/Memory", json!(128 << 20)),
        ("/HostConfig/CpuShares", json!(512)),
        ("/HostConfig/SecurityOpt", json!([])),
        ("/Config/Hostname", json!("of-the-project")),
        ("/Config/Labels/team", json!("x")),
    ];
    assert_has(&job, &expected);
    assert_has(&helper, &[("/HostConfig/Memory", json!(64 << 20))]);
    assert_says(&job["HostConfig"]["CapAdd"].to_string(), &["SYS_PTRACE"]);
    assert_says(&trace, &["may gain privileges (no_new_privileges = false)"]);
    let (job, ..) = looked_at(&host, busybox([""]).branch("topic", false));
    assert_has(&job, &[("/HostConfig/Memory", json!(256 << 20))]);
}

#[test]
fn a_seccomp_profile_is_read_on_this_host() {
    let host = Host::new();
    let profile = host.path("profile.json");
    // Nobody may make a symbolic link; all else is allowed.
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
        [{"names": ["symlink", "symlinkat"], "action": "SCMP_ACT_ERRNO"}]}"#;
    std::fs::write(&profile, text).unwrap();
    let option = |path: &str| format!("[isolation]\nsecurity_opt = \"seccomp={path}\"\n");
    let host = host.table(&option(profile.to_str().unwrap()));
    let result = host.run(&busybox(["ln -s /target /tmp/new 2>&1 || echo refused"]));
    assert_says(&result.assert_success().trace_text(), &["not permitted", "refused\n"]);
    let host = Host::new().table(&option("/nonexistent.json"));
    blames_the_host(&host, &busybox(["true"]), &["/nonexistent.json", "security_opt"]);
}

#[test]
fn gpus_that_the_host_does_not_have() {
    let host = Host::new().table("[isolation]\ngpus = \"all\"\n");
    blames_the_host(&host, &busybox(["true"]), &["device driver", "gpu"]);
}

#[test]
fn a_job_whose_sudo_fails_is_told_why() {
    // The words of sudo itself, which the small image does not have.
    let says =
        "sudo: The \"no new privileges\" flag is set, which prevents sudo from running as root.";
    let result = Host::new().run(&busybox([&format!("echo '{says}' >&2"), "false"]));
    let expected =
        ["sudo cannot work here", "image:docker:user: root", "no_new_privileges = false"];
    assert_says(&result.call("build_script").stdout(), &expected);
    let result = Host::new().run(&busybox(["echo nothing of the kind >&2"]));
    assert!(!result.trace_text().contains("sudo"), "{}", result.trace_text());
}
