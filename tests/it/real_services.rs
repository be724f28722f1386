//! Services on the real daemon: what they are given, by which names the job finds them, and that they go
//! with it.

use serde_json::{Value, json};

use crate::local_support::{HOST_DRIVER, Place};
use crate::support::job_json::{FakeJob, image_value};
use crate::support::real::{Host, assert_says, await_gone, busybox, get, left_of, stderr};
use crate::support::running::JobResult;

const SERVICE: &str = "longshore-test/service:1";
const PYTHON: &str = "python:3.13-slim";

/// A service with these values set.
fn service(image: &str, values: &[(&str, Value)]) -> Value {
    let mut service = image_value(image);
    for (key, value) in values {
        service[key] = value.clone();
    }
    service
}

fn variable(key: &str, value: &str) -> Value {
    json!({"key": key, "value": value, "public": true})
}

/// Fetches the service's page by this name.
fn fetch(name: &str) -> String {
    let url = format!("http://{name}:8080/");
    format!("python3 -c 'import urllib.request as u; print(u.urlopen(\"{url}\").read().decode())'")
}

/// The inspected containers of a job's services while its script runs.
fn inspected(host: &Host, job: &FakeJob) -> (Vec<Value>, JobResult) {
    let running = host.runner().start(job);
    running.wait_for_output("\nready", std::time::Duration::from_mins(1));
    let mut names: Vec<String> =
        left_of(job).into_iter().filter(|name| name.contains("-service-")).collect();
    names.sort();
    let shown = names.iter().map(|name| get(&format!("/containers/{name}/json"))).collect();
    running.abort();
    let result = running.join();
    await_gone(job);
    (shown, result)
}

#[test]
fn a_service_is_found_by_all_its_names() {
    let names = ["longshore-test__service", "longshore-test-service", "db", "store"];
    let job = FakeJob::new()
        .image(PYTHON)
        .service_value(service(SERVICE, &[("alias", json!("db, store"))]))
        .script(names.map(fetch));
    let result = Host::new().run(&job);
    result.assert_success();
    assert_eq!(result.call("build_script").stdout().matches("hello from").count(), names.len());
    let line = "(longshore-test__service, longshore-test-service, db, store) is ready after 0.";
    assert_says(&result.trace_text(), &["section_start", ":longshore_services[", line]);
}

#[test]
fn two_services_of_one_image_differ_by_alias_variables_and_command() {
    let one = [("alias", json!("one")), ("variables", json!([variable("GREETING", "$WORD-1")]))];
    let other = [("alias", json!("other")), ("command", json!(["/serve", "$WORD", "words"]))];
    let job = FakeJob::new()
        .image(PYTHON)
        .variable("WORD", "hi")
        .variable("GREETING", "of the job")
        .service_value(service(SERVICE, &one))
        .service_value(service(SERVICE, &other))
        .script([fetch("one"), fetch("other")]);
    let result = Host::new().run(&job);
    let told = result.assert_success().call("build_script").stdout();
    assert_says(&told, &["greeting=hi-1 ", "greeting=of the job ", "arguments=$WORD words\n"]);
}

#[test]
fn the_operators_services_come_besides_the_jobs_own() {
    let host = Host::new().docker("allowed_services", "[\"none-at-all\"]").table(&format!(
        "[[services]]\nname = \"{SERVICE}\"\nalias = \"everyones\"\nvariables = {{ GREETING = \"$WORD\" }}\n\
         [[services]]\nname = \"no-such-image\"\nprojects = \"other/*\"\n"
    ));
    let job = FakeJob::new().image(PYTHON).variable("WORD", "hi").script([fetch("everyones")]);
    let result = host.run(&job);
    assert_says(&result.assert_success().call("build_script").stdout(), &["greeting=hi "]);
}

#[test]
fn a_service_is_limited_labelled_and_of_the_job() {
    let host = Host::new()
        .docker("service_log", "\"1m\"")
        .table("[limits]\nmemory = \"512m\"\n[service_container]\nlimits = { memory = \"64m\", pids = 99 }\n");
    let user = json!({"docker": {"platform": "", "user": "1000"}});
    let job = busybox(["echo ready", "sleep 300"])
        .masked("PASSWORD", "canary-of-a-masked-variable")
        .service_value(service(SERVICE, &[("executor_opts", user)]));
    let (shown, _) = inspected(&host, &job);
    let [shown] = shown.as_slice() else { panic!("{shown:?}") };
    let host_config = &shown["HostConfig"];
    assert_eq!(host_config["Memory"], 64 << 20);
    assert_eq!(host_config["PidsLimit"], 99);
    assert_eq!(host_config["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!(host_config["CapDrop"], json!(["ALL"]));
    assert!(!host_config["CapAdd"].to_string().contains("NET_RAW"));
    assert_eq!(host_config["LogConfig"]["Type"], "local");
    assert_eq!(host_config["LogConfig"]["Config"]["max-size"], (1 << 20).to_string());
    assert_eq!(shown["Config"]["User"], "1000");
    assert_eq!(shown["Config"]["Labels"]["longshore.kind"], "service-0");
    assert_eq!(shown["Config"]["Labels"]["longshore.project"], job.project_path);
    let text = shown.to_string();
    assert!(text.contains("CI_PROJECT_PATH=") && !text.contains("canary"), "{text}");
    assert!(!text.contains(&job.token), "{text}");
}

#[test]
fn a_masked_value_gets_into_a_service_by_name_only_and_is_not_printed() {
    let job = busybox(["echo ready", "sleep 300"])
        .masked("PASSWORD", "canary-of-a-masked-variable")
        .service_value(service(
            SERVICE,
            &[("variables", json!([variable("DB_PASSWORD", "x-$PASSWORD")]))],
        ));
    let host = Host::new();
    let (shown, result) = inspected(&host, &job);
    assert!(shown[0].to_string().contains("DB_PASSWORD=x-canary-of-a-masked-variable"));
    assert!(!result.trace_text().contains("canary"));
    let plan = host.call(&job, &["plan"]);
    let plan = String::from_utf8_lossy(&plan.stdout);
    assert!(plan.contains("DB_PASSWORD") && !plan.contains("canary"), "{plan}");
}

#[test]
fn what_services_write_is_streamed_masked_where_the_job_asks() {
    let chatty = "while true; do echo \"tick $WORD\"; sleep 0.2; done";
    let values = [
        ("alias", json!("chat")),
        ("command", json!(["sh", "-c", chatty])),
        ("variables", json!([variable("WORD", "$PASSWORD")])),
    ];
    let job = |script: [&str; 2]| {
        busybox(script)
            .masked("PASSWORD", "canary-of-a-masked-variable")
            .variable("CI_DEBUG_SERVICES", "true")
            .service_value(service("longshore-test/busybox:1", &values))
    };
    let result = Host::new().run(&job(["true", "printf 'half a '; sleep 2; echo line"]));
    let told = result.assert_success().call("build_script").both();
    assert!(told.matches("[service:chat] tick [MASKED]\n").count() > 5, "{told}");
    assert_says(&result.call("build_script").stdout(), &["half a line\n"]);
    assert!(!result.trace_text().contains("canary"));
    assert!(!result.call("prepare_script").both().contains("[service:"));
    let quiet = job(["sleep 1", "true"]).variable("CI_DEBUG_SERVICES", "false");
    assert!(!Host::new().run(&quiet).trace_text().contains("[service:"));
}

#[test]
fn a_local_pipeline_has_services_too() {
    let script = fetch("db");
    let pipeline = json!({
        "stages": ["test"],
        "variables": {"GIT_STRATEGY": "none", "IMAGE": "service"},
        "unit": {"stage": "test", "image": PYTHON, "script": [script], "services": [
            "longshore-test/service-healthy:1",
            {"name": "longshore-test/$IMAGE:1", "alias": "db", "variables": {"GREETING": "local"}},
        ]},
    });
    let place = Place::new(&pipeline.to_string(), HOST_DRIVER);
    let host = Host::new();
    let output = host
        .bare(&["local", "--file", "ci.yml"])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .current_dir(place.path("project"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    assert!(output.status.success(), "{told}");
    assert_says(&told, &["greeting=local ", "longshore-test/service-healthy:1 (longshore-test__"]);
}
