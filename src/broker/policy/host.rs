//! `HostConfig` of a new container (note 3.3): no right that Docker does not give anyway, no kernel protection
//! taken away, and the operator's word for all that the job has no say in.

use serde_json::{Map, Value, json};

use super::mounts::Mounts;
use super::{Case, hosts, limits, publish};
use crate::broker::refusal::Refusal;
use crate::broker::request::container::ContainerCreate;
use crate::broker::request::host::HostConfig;

/// What no container of a job needs: forged packets, device nodes, the audit log, other roots.
const DROPPED: [&str; 4] = ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SYS_CHROOT"];

/// What Docker gives anyway, less that; asking for it changes nothing.
const GIVEN: [&str; 10] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
];

/// Bytes and number of the files that keep a container's output.
const LOG: (&str, &str) = ("10m", "3");

pub(super) fn config(
    case: Case<'_>,
    create: &ContainerCreate,
    mounts: &Mounts,
    network_mode: &str,
) -> Result<Value, Refusal> {
    let asked = &create.host;
    let mut host = Map::new();
    limits::write(case, &asked.limits, &mut host)?;
    let mut set = |key: &str, value: Value| drop(host.insert(key.to_owned(), value));
    set("NetworkMode", json!(network_mode));
    set("Mounts", json!(mounts.all));
    set("Tmpfs", json!(mounts.tmpfs));
    set("VolumesFrom", json!(mounts.volumes_from));
    set("AutoRemove", json!(asked.auto_remove));
    set("ReadonlyRootfs", json!(asked.read_only));
    set("Privileged", json!(false));
    set("PublishAllPorts", json!(false));
    set("RestartPolicy", json!({"Name": "no"}));
    set("CapDrop", json!(cap_drop(asked)?));
    set("SecurityOpt", json!(security(case, asked)?));
    set("LogConfig", log(asked)?);
    set("PortBindings", publish::ports(case, create)?);
    set("IpcMode", json!(ipc(case, asked)?));
    if let Some(init) = asked.init {
        set("Init", json!(init));
    }
    if let Some(runtime) = &case.view.runtime {
        set("Runtime", json!(runtime));
    }
    let resolver = &case.view.resolver;
    // One that joins another's network has its names too, and the daemon takes no word about them.
    if !network_mode.starts_with("container:") {
        set("Dns", json!(resolver.dns));
        set("DnsOptions", json!(resolver.dns_options));
        let search =
            if asked.dns_search.is_empty() { &resolver.dns_search } else { &asked.dns_search };
        set("DnsSearch", json!(search));
        set("ExtraHosts", json!(hosts::named(case, &asked.extra_hosts)?));
    }
    Ok(Value::Object(host))
}

fn capability(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

fn cap_drop(asked: &HostConfig) -> Result<Vec<String>, Refusal> {
    if let Some(wanted) = asked
        .cap_add
        .iter()
        .map(|name| capability(name))
        .find(|name| !GIVEN.contains(&name.as_str()))
    {
        let known = wanted.len() < 24
            && wanted.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let shown = if known { wanted.as_str() } else { "one of them" };
        let message = format!(
            "CapAdd is not allowed ({shown}): a job's containers have Docker's own capabilities at most"
        );
        return Err(Refusal::forbidden("capabilities", message));
    }
    let dropped = asked.cap_drop.iter().map(|name| capability(name));
    let legal = |name: &String| {
        name.len() < 24 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let mut all: Vec<String> = dropped.filter(legal).collect();
    // With ALL dropped, single ones come back only by CapAdd, which nobody has.
    all.extend(DROPPED.map(str::to_owned));
    all.sort();
    all.dedup();
    Ok(all)
}

fn security(case: Case<'_>, asked: &HostConfig) -> Result<Vec<String>, Refusal> {
    let harmless = |line: &String| {
        matches!(
            line.as_str(),
            "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true"
        )
    };
    if !asked.security_opt.iter().all(harmless) {
        let message =
            "SecurityOpt may be no-new-privileges, which always holds; profiles are the operator's";
        return Err(Refusal::forbidden("security", message));
    }
    let own = case.view.security.iter().filter(|line| !line.starts_with("no-new-privileges"));
    Ok(own.cloned().chain(["no-new-privileges".to_owned()]).collect())
}

/// Other drivers connect to wherever they are told to, from the host.
fn log(asked: &HostConfig) -> Result<Value, Refusal> {
    match asked.log_driver.as_deref() {
        None | Some("json-file" | "local") => {
            // Docker's Python SDK gives a run's output back for this driver only.
            Ok(json!({"Type": "json-file", "Config": {"max-size": LOG.0, "max-file": LOG.1}}))
        }
        Some("none") => Ok(json!({"Type": "none", "Config": {}})),
        Some(_) => Err(Refusal::forbidden("log", "LogConfig.Type may be json-file, local or none")),
    }
}

fn ipc(case: Case<'_>, asked: &HostConfig) -> Result<String, Refusal> {
    match asked.ipc_mode.as_deref() {
        None | Some("private") => Ok("private".to_owned()),
        Some(mode @ ("shareable" | "none")) => Ok(mode.to_owned()),
        Some(mode) => match mode.strip_prefix("container:") {
            Some(container) => Ok(format!("container:{}", case.view.container(container)?)),
            None => Err(Refusal::forbidden("namespace", "IpcMode may be private or shareable")),
        },
    }
}
