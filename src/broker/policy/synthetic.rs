//! What the broker answers by itself: nothing of the host is in it.

use serde_json::json;

use super::{Case, Decision, Judged, Reply};
use crate::broker::refusal::Refusal;
use crate::broker::request::exec::Login;
use crate::broker::view::JobView;

/// The newest version of the API whose requests have been read for new fields.
pub(in crate::broker) const NEWEST_API: u32 = 51;

/// What is spoken to the daemon, and told to clients.
pub(super) fn api_minor(view: &JobView) -> u32 {
    view.daemon.api_minor.min(NEWEST_API)
}

fn api_version(case: Case<'_>) -> String {
    format!("1.{}", api_minor(case.view))
}

/// Says `Builder-Version: 1`: `BuildKit` would want a session.
pub(super) fn ping(case: Case<'_>, head: bool) -> Decision {
    let header = |name: &'static str, value: &str| (name, value.to_owned());
    Decision::Reply(Reply {
        status: 200,
        headers: vec![
            header("Api-Version", &api_version(case)),
            header("Builder-Version", "1"),
            header("Docker-Experimental", "false"),
            header("Ostype", &case.view.daemon.os),
            header("Cache-Control", "no-cache, no-store, must-revalidate"),
        ],
        body: if head { Vec::new() } else { b"OK".to_vec() },
        content_type: "text/plain; charset=utf-8",
        notes: Vec::new(),
    })
}

/// No names, counts, registries, labels or directories; CPUs and memory are those of the job.
pub(super) fn info(case: Case<'_>) -> Decision {
    let limits = &case.view.limits;
    let cpus = limits.nano_cpus.map_or(1, |nano| nano.div_ceil(1_000_000_000));
    Decision::Reply(Reply::json(&json!({
        "ID": format!("longshore-{}", case.view.key),
        "Name": "longshore",
        "OSType": case.view.daemon.os,
        "Architecture": case.view.daemon.architecture,
        "OperatingSystem": "Longshore's broker",
        "ServerVersion": api_version(case),
        "NCPU": cpus,
        "MemTotal": limits.memory_bytes.unwrap_or_default(),
        "Containers": 0, "ContainersRunning": 0, "ContainersPaused": 0, "ContainersStopped": 0,
        "Images": 0,
        "Driver": "overlay2", "LoggingDriver": "json-file",
        "MemoryLimit": true, "SwapLimit": true, "CpuCfsPeriod": true, "CpuCfsQuota": true,
        "CPUShares": true, "PidsLimit": true, "IPv4Forwarding": true, "OomKillDisable": false,
        "Debug": false, "ExperimentalBuild": false, "LiveRestoreEnabled": false,
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "null"], "Log": ["json-file"]},
        "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": []},
        "Swarm": {"LocalNodeState": "inactive", "NodeID": "", "NodeAddr": ""},
        "SecurityOptions": ["name=seccomp,profile=default"],
        "Labels": [], "Warnings": null,
    })))
}

/// Takes every login to where the job may pull from, and asks nobody: the broker has the job's own.
pub(super) fn auth(case: Case<'_>, login: &Login) -> Judged {
    let bare = login.server.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or_default();
    let host = if matches!(host, "" | "index.docker.io") { "docker.io" } else { host };
    let own = case.rules.repository.as_deref().and_then(|repository| repository.split('/').next());
    let listed = |pattern: &String| {
        let first = pattern.split('/').next().unwrap_or_default();
        let is_host = pattern.contains('/') && first.contains(['.', ':']);
        matches!(first, "*" | "**") || first == host || (host == "docker.io" && !is_host)
    };
    let allowed = case.rules.allowed_images.written();
    if own == Some(host) || allowed.iter().any(listed) {
        return Ok(Decision::Reply(Reply::json(
            &json!({"Status": "Login Succeeded", "IdentityToken": ""}),
        )));
    }
    Err(Refusal::forbidden(
        "registry",
        "this registry is not among those that the job may pull from (allowed_images in [broker])",
    ))
}
