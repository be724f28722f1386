//! When a service counts as ready on the real daemon, and what becomes of a job whose service does not.

use std::time::Duration;

use serde_json::json;

use crate::support::job_json::{FakeJob, image_value};
use crate::support::real::{Host, assert_says, await_gone, busybox};
use crate::support::running::{FailureReason, JobStatus};

const SERVICE: &str = "longshore-test/service:1";
const HEALTHY: &str = "longshore-test/service-healthy:1";
const DIES: &str = "longshore-test/service-dies:1";

fn with(job: FakeJob, image: &str, variables: &[(&str, &str)]) -> FakeJob {
    let mut service = image_value(image);
    let pairs = variables.iter().map(|(key, value)| json!({"key": key, "value": value}));
    service["variables"] = pairs.collect();
    job.service_value(service)
}

/// How long a service took to be ready, as the job log says it.
fn ready_after(trace: &str) -> f64 {
    let (_, after) = trace.rsplit_once("is ready after ").unwrap_or_else(|| panic!("{trace}"));
    after.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn an_images_own_health_check_decides_and_at_once() {
    let result = Host::new().run(&with(busybox(["true"]), HEALTHY, &[]));
    let took = ready_after(&result.assert_success().trace_text());
    // A second until it is healthy; Docker itself would look for the first time after 30.
    assert!((0.5..10.0).contains(&took), "{took}");
}

#[test]
fn a_page_decides_where_the_job_or_the_operator_names_one() {
    let job = with(busybox(["true"]), SERVICE, &[("LONGSHORE_HTTP_CHECK", "8080/health")]);
    let took = ready_after(&Host::new().run(&job).assert_success().trace_text());
    assert!((0.5..10.0).contains(&took), "{took}");
    let rule = "[[service_rule]]\nimages = \"longshore-test/*\"\nhttp = \"8080/health\"\n";
    let job = with(busybox(["true"]), SERVICE, &[]);
    let took = ready_after(&Host::new().table(rule).run(&job).assert_success().trace_text());
    assert!((0.5..10.0).contains(&took), "{took}");
}

#[test]
fn all_are_waited_for_at_the_same_time() {
    let job = with(with(busybox(["true"]), HEALTHY, &[]), HEALTHY, &[]);
    let job = with(job, SERVICE, &[("LONGSHORE_HTTP_CHECK", "8080/health")]);
    let result = Host::new().run(&job);
    let trace = result.assert_success().trace_text();
    assert_eq!(trace.matches("is ready after").count(), 3, "{trace}");
    assert!(ready_after(&trace) < 10.0);
}

#[test]
fn a_service_that_dies_shows_its_last_lines_and_only_warns() {
    let result = Host::new().run(&with(busybox(["echo went on"]), DIES, &[]));
    let trace = result.assert_success().trace_text();
    let said = "warning: the service longshore-test/service-dies:1 (longshore-test__service-dies, \
                longshore-test-service-dies) ended with exit code 3; the job goes on without it\n";
    assert_says(&trace, &[said, "The last lines of longshore-test/service-dies:1", "went on\n"]);
    let lines = trace.lines().filter(|line| line.contains("last words")).count();
    assert_eq!(lines, 50, "{trace}");
    assert_says(&trace, &["last words 11\n", "last words 60\n"]);
    let (starts, ends) = (trace.matches("section_start:"), trace.matches("section_end:"));
    assert_eq!(starts.count(), ends.count(), "{trace}");
}

#[test]
fn a_critical_service_that_dies_fails_the_job() {
    let job = with(busybox(["true"]), DIES, &[("LONGSHORE_CRITICAL", "true")]);
    let rule = "[[service_rule]]\nimages = \"**/service-dies:*\"\ncritical = true\n";
    let hosts = [(Host::new(), job), (Host::new().table(rule), with(busybox(["true"]), DIES, &[]))];
    for (host, job) in hosts {
        let result = host.run(&job);
        assert_eq!(result.failure_reason, Some(FailureReason::ScriptFailure));
        assert_says(&result.trace_text(), &["last words 60\n", "cannot do without it (critical)"]);
        assert_eq!(result.call_names(), ["config", "prepare", "cleanup"]);
    }
}

#[test]
fn a_service_that_does_not_answer_only_warns_when_its_time_is_up() {
    let host = Host::new().docker("wait_for_services_timeout", "\"2s\"");
    let job = with(busybox(["echo went on"]), SERVICE, &[("HEALTHCHECK_TCP_PORT", "81")]);
    let result = host.run(&job);
    result.assert_success();
    assert_says(&result.trace_text(), &["is not ready in time: port 81: ", "went on\n"]);
    let took = result.call("prepare").duration;
    assert!((2..8).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_service_that_ends_during_a_script_is_told_where_the_script_fails() {
    let mut service = image_value("longshore-test/busybox:1");
    service["alias"] = "db".into();
    service["command"] = json!(["sh", "-c", "echo words of the dead; sleep 1; exit 7"]);
    let host = Host::new();
    let job = |last: &str| busybox(["sleep 3", last]).service_value(service.clone());
    let trace = host.run(&job("false")).trace_text();
    let said = "longshore: the service longshore-test/busybox:1 (longshore-test__busybox, \
                longshore-test-busybox, db) ended with exit code 7\n";
    assert_says(&trace, &[said, ":longshore_build_script_service[", "words of the dead\n"]);
    let trace = host.run(&job("true")).assert_success().trace_text();
    assert!(!trace.contains("words of the dead"), "{trace}");
}

#[test]
fn a_traced_job_is_told_what_its_preparation_took() {
    let traced = busybox(["true"]).variable("CI_DEBUG_TRACE", "true");
    let trace = Host::new().run(&with(traced, SERVICE, &[])).assert_success().trace_text();
    let (_, line) = trace.split_once("longshore: timings: images and secrets ").expect(&trace);
    let (parts, shares) = line.lines().next().unwrap().split_once("; ").expect(line);
    assert_says(parts, &[" ms, containers ", " ms, services ", " ms, all "]);
    assert_says(shares, &[" % the Docker daemon (", " requests)", " % longshore itself"]);
    let percents = shares.split(", ").map(|part| part.split(' ').next().unwrap());
    let whole: u32 = percents.map(|percent| percent.parse::<u32>().unwrap()).sum();
    assert!((97..=103).contains(&whole), "{line}");
    let quiet = Host::new().run(&busybox(["true"]));
    assert!(!quiet.assert_success().trace_text().contains("longshore: timings"));
}

#[test]
fn a_timeout_of_zero_does_not_wait() {
    let host = Host::new().docker("wait_for_services_timeout", "\"0s\"");
    let job = with(busybox(["true"]), SERVICE, &[("HEALTHCHECK_TCP_PORT", "81")]);
    let result = host.run(&job);
    result.assert_success();
    assert!(!result.trace_text().contains("longshore_services"), "{}", result.trace_text());
}

#[test]
fn a_cancel_while_services_are_waited_for_leaves_nothing() {
    let job = with(busybox(["true"]), SERVICE, &[("HEALTHCHECK_TCP_PORT", "81")]);
    let host = Host::new();
    let running = host.runner().start(&job);
    running.wait_for_output("Waiting for 1 service", Duration::from_mins(1));
    running.cancel();
    let result = running.join();
    await_gone(&job);
    assert_eq!(result.status, JobStatus::Canceled);
    let took = result.call("prepare").duration;
    assert!(took < Duration::from_secs(15), "{took:?}");
    let trace = result.trace_text();
    assert_says(&trace, &["section_end:"]);
}
