//! Tests of what `broker` prints.

use std::path::Path;

use serde_json::Value;

use super::explain::explain;
use super::*;
use crate::cli::broker::ExplainArgs;

const SETTINGS: &str = r#"
[docker]
docker_socket = "brokered"
allowed_images = ["python:*", "base.example/**"]
[broker]
repository = "registry.example/$CI_PROJECT_PATH"
push = [
  { stages = ["build"], tags = ["test"] },
  { stages = ["delivery"], tags = ["$CI_COMMIT_SHA", "latest"], protected_only = true },
]
[vault]
address = "https://vault.example"
[vault.approle]
role_id_file = "/etc/longshore/role_id"
secret_id_file = "/etc/longshore/secret_id"
[secrets]
PAGE_SECRET = "kv/web/page#secret"
[[bake]]
secret = "PAGE_SECRET"
repository = "registry.example/web/shop"
"#;

fn settings() -> Settings {
    Settings::parse(SETTINGS, Path::new("/etc/longshore/longshore.toml")).unwrap()
}

fn args(stage: &str, protected: bool) -> PolicyArgs {
    PolicyArgs {
        project: "web/shop".to_owned(),
        stage: stage.to_owned(),
        protected,
        registry_image: None,
        json: false,
    }
}

#[test]
fn the_policy_in_force() {
    insta::assert_snapshot!("broker_policy", show(&settings(), &args("delivery", true)).unwrap());
    let unprotected = show(&settings(), &args("delivery", false)).unwrap();
    assert!(unprotected.contains("push tags           none"), "{unprotected}");
    let json = show(&settings(), &PolicyArgs { json: true, ..args("build", false) }).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["push_tags"], json!(["test"]));
}

fn explained(request: &Value) -> (bool, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("request.json");
    std::fs::write(&path, request.to_string()).unwrap();
    explain(&settings(), &ExplainArgs { request: path, policy: args("build", false) }).unwrap()
}

#[test]
fn a_request_is_explained() {
    let create = |host: Value| {
        explained(&json!({"method": "POST", "target": "/v1.41/containers/create?name=web",
            "body": {"Image": "python:3", "HostConfig": host}, "own": {"images": ["python:3"]}}))
    };
    let (allowed, text) = create(json!({}));
    assert!(allowed && text.contains("name = longshore-0-00000000-x-web"), "{text}");
    let (allowed, text) = create(json!({"Privileged": true}));
    assert!(!allowed && text.starts_with("refused with 403 [privileged]: "), "{text}");
    let (allowed, text) = explained(&json!({"method": "GET", "target": "/containers/other/json"}));
    assert!(!allowed && text.starts_with("refused with 404 [absent]: No such container"), "{text}");
    let build = json!({"method": "POST", "target": "/build?t=registry.example/web/shop:test", "stream": true});
    assert!(explained(&build).0);
    assert!(explained(&json!({"method": "GET", "target": "/_ping"})).0);
}

#[test]
fn what_the_file_says_is_the_jobs_own() {
    let own = json!({"containers": ["web"], "networks": ["net"], "volumes": ["data"]});
    for (method, target, sent) in [
        ("GET", "/containers/web/json", format!("GET /containers/{:064x}/json", 1)),
        ("POST", "/networks/prune", format!("DELETE /networks/{:064x}", 1)),
        ("DELETE", "/volumes/data", "DELETE /volumes/longshore-0-00000000-x-data".to_owned()),
    ] {
        let (allowed, text) = explained(&json!({"method": method, "target": target, "own": own}));
        assert!(allowed && text.contains(&sent), "{text}");
    }
}
