//! Services of a plan: which are allowed, what their environment holds, and when they count as ready.

use longshore::plan::container::{ContainerNetwork, ContainerPlan};
use longshore::plan::{Check, ServicePlan};
use serde_json::{Value, json};

use super::plan_rules::{refused, under, with};

/// The services of the golden job `trivial`, which has none, with these.
fn services(settings: &str, services: Value) -> Vec<ServicePlan> {
    under(&with(settings), "trivial", |job, _| job["services"] = services).services
}

fn checked(settings: &str, variables: &Value) -> Check {
    let variables: Vec<Value> = variables
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    services(settings, json!([{"name": "app:1", "variables": variables}])).remove(0).check
}

#[test]
fn allowed_services_bind_jobs_and_not_the_operator() {
    let settings = "[[services]]\nname = \"redis:8\"\n";
    let only_postgres = |job: &mut Value, name: &str| job["services"] = json!([{"name": name}]);
    let limited = with(&settings.replace("[[", "allowed_services = [\"postgres:*\"]\n[["));
    for (name, allowed) in [("postgres:17", true), ("redis:8", true), ("redis:7", false)] {
        let refusal = refused(&limited, "trivial", |job, _| only_postgres(job, name));
        assert_eq!(refusal.is_none(), allowed, "{name}: {refusal:?}");
    }
}

#[test]
fn a_service_is_ready_by_the_jobs_word_before_the_operators() {
    let http = |port, path: &str| Check::Http { port, path: path.to_owned() };
    assert_eq!(checked("", &json!({})), Check::Image);
    assert_eq!(checked("", &json!({"HEALTHCHECK_TCP_PORT": " 5432 "})), Check::Tcp(5432));
    assert_eq!(checked("", &json!({"HEALTHCHECK_TCP_PORT": "many"})), Check::Image);
    for (text, expected) in [
        ("8080", http(8080, "/")),
        (":8080/health", http(8080, "/health")),
        (" 1/a/b ", http(1, "/a/b")),
        ("0/health", Check::Image),
        ("health", Check::Image),
        (" ", Check::Image),
    ] {
        assert_eq!(checked("", &json!({"LONGSHORE_HTTP_CHECK": text})), expected, "{text}");
    }
    let rule = "[[service_rule]]\nimages = \"app:*\"\nhttp = \"8080/health\"\n";
    assert_eq!(checked(rule, &json!({})), http(8080, "/health"));
    assert_eq!(checked(rule, &json!({"HEALTHCHECK_TCP_PORT": "1"})), Check::Tcp(1));
    let both = json!({"HEALTHCHECK_TCP_PORT": "1", "LONGSHORE_HTTP_CHECK": "2"});
    assert_eq!(checked(rule, &both), http(2, "/"));
}

#[test]
fn a_service_is_critical_where_the_job_or_else_a_rule_says_so() {
    let rule = "[[service_rule]]\nimages = \"app:*\"\ncritical = true\n";
    let critical = |settings: &str, said: Option<&str>| {
        let variables = said.map(|value| json!({"key": "LONGSHORE_CRITICAL", "value": value}));
        let variables: Vec<Value> = variables.into_iter().collect();
        let service = json!([{"name": "app:1", "variables": variables}]);
        services(settings, service).remove(0).critical
    };
    for (settings, said, expected) in [
        ("", None, false),
        ("", Some("true"), true),
        ("", Some("1"), true),
        ("", Some("yes"), false),
        (rule, None, true),
        (rule, Some("false"), false),
    ] {
        assert_eq!(critical(settings, said), expected, "{settings} {said:?}");
    }
    assert!(!critical("[[service_rule]]\nimages = \"other\"\ncritical = true\n", None));
}

/// What services may read of a job's variables is what anybody may: public, not masked.
#[test]
fn a_service_sees_what_is_public_and_what_it_is_given() {
    let variable = |key: &str, value: &str, public, masked, file| {
        json!({
            "key": key, "value": value, "public": public, "masked": masked, "file": file, "raw": false,
        })
    };
    let own = json!([
        {"key": "PASSWORD", "value": "$MASKED"},
        {"key": "PUBLIC", "value": "mine of $PUBLIC"},
        {"key": "FIRST", "value": "$SECOND"},
        {"key": "SECOND", "value": "of a sibling"},
        {"key": "RAW", "value": "$PUBLIC", "raw": true},
    ]);
    let plan = under(&with(""), "trivial", |job, env| {
        job["variables"] = json!([
            variable("PUBLIC", "p", true, false, false),
            variable("MASKED", "m", true, true, false),
            variable("PRIVATE", "q", false, false, false),
            variable("CONFIG", "content", true, false, true),
            variable("MASKED_CONFIG", "content", true, true, true),
            variable("PRIVATE_CONFIG", "content", false, false, true),
        ]);
        job["secrets"] = json!({"RESOLVED": {}});
        job["services"] = json!([{"name": "app:1", "variables": own}]);
        env.clear();
        for (name, value) in [
            ("PUBLIC", "p"),
            ("MASKED", "m"),
            ("PRIVATE", "q"),
            ("CONFIG", "/builds/web/shop.tmp/CONFIG"),
            ("MASKED_CONFIG", "/builds/web/shop.tmp/MASKED_CONFIG"),
            ("PRIVATE_CONFIG", "/builds/web/shop.tmp/PRIVATE_CONFIG"),
            ("RUNNER_TEMP_PROJECT_DIR", "/builds/web/shop.tmp"),
            ("RESOLVED", "r"),
            ("CI_JOB_SERVICES", "[]"),
            ("CI_RUNNER_VERSION", "19.3.0"),
        ] {
            env.insert(name.into(), value.into());
        }
    });
    let env: Vec<String> = plan.services[0].env.lines().collect();
    assert_eq!(
        env,
        [
            "CI_RUNNER_VERSION=19.3.0",
            "CONFIG=/builds/web/shop.tmp/CONFIG",
            "FIRST=of a sibling",
            "MASKED_CONFIG=/builds/web/shop.tmp/MASKED_CONFIG",
            "PASSWORD=m",
            "PUBLIC=mine of p",
            "RAW=$PUBLIC",
            "RUNNER_TEMP_PROJECT_DIR=/builds/web/shop.tmp",
            "SECOND=of a sibling",
        ]
    );
    let printed = serde_json::to_string(&plan.services).unwrap();
    assert!(printed.contains("\"PASSWORD\"") && !printed.contains("mine of"), "{printed}");
}

#[test]
fn the_operators_services_go_to_the_projects_they_are_for() {
    let settings = "[[services]]\nname = \"proxy:2\"\nalias = [\"proxy\", \"out\"]\n\
                    entrypoint = [\"/proxy\"]\ncommand = [\"--verbose\"]\n\
                    variables = { MODE = \"$CI_RUNNER_VERSION\" }\nprojects = \"web/*\"\n\
                    [[services]]\nname = \"other:1\"\nprojects = \"data/*\"\n";
    let services = services(settings, json!([{"name": "db", "alias": "out,build,mine"}]));
    let names: Vec<&str> = services.iter().map(|one| one.image.reference.as_str()).collect();
    assert_eq!(names, ["proxy:2", "db"]);
    assert_eq!(services[0].aliases, ["proxy", "out"]);
    let ServicePlan { entrypoint, command, .. } = &services[0];
    assert_eq!((entrypoint.concat(), command.concat()), ("/proxy".into(), "--verbose".into()));
    assert!(services[0].env.lines().any(|line| line == "MODE=19.3.0"));
    assert_eq!(services[1].aliases, ["db", "mine"]);
}

#[test]
fn a_service_is_a_container_of_its_own() {
    let plan = under(&with(""), "trivial", |job, _| {
        job["services"] =
            json!([{"name": "db", "executor_opts": {"docker": {"user": "70"}}}, {"name": "cache"}]);
    });
    let containers = plan.service_containers("n", "");
    let names: Vec<&str> = containers.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, [plan.service_name(0), plan.service_name(1)]);
    let ContainerPlan { user, network, own_process, .. } = &containers[0];
    assert_eq!((user.as_str(), own_process.is_some()), ("70", true));
    let aliases = vec!["db".to_owned()];
    assert_eq!(*network, ContainerNetwork::Named { name: "n".to_owned(), aliases });
    assert!(plan.removal().containers.contains(&plan.service_name(1)));
}

#[test]
fn a_network_without_names_has_no_services() {
    let settings = with("[network]\nmode = \"bridge\"\n");
    let with_service = |job: &mut Value| job["services"] = json!([{"name": "db"}]);
    assert!(refused(&settings, "trivial", |_, _| ()).is_none());
    let refusal = refused(&settings, "trivial", |job, _| with_service(job)).unwrap();
    assert!(refusal.contains("bridge"), "{refusal}");
    assert!(refused(&with(""), "trivial", |job, _| with_service(job)).is_none());
}

#[test]
fn a_service_that_may_much_is_told_by_its_name() {
    let settings = "[service_container]\nisolation = { privileged = true }\n";
    let plan = under(&with(settings), "trivial", |job, _| {
        job["services"] = json!([{"name": "docker:28-dind"}]);
    });
    let told = |notice: &String| notice.starts_with("the service docker:28-dind is privileged");
    assert!(plan.notices.iter().any(told), "{:?}", plan.notices);
}
