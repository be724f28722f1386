//! A new container (note 3.3): what the job says of its process, on the job's network, under the job's
//! limits, with the job's labels.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::mounts::Mounts;
use super::{
    Case, Judged, allow, check_name, hosts, image, json, limits, mounts, network, pairs, post,
};
use crate::broker::outgoing::{Kind, Note, Outgoing, Patience};
use crate::broker::refusal::Refusal;
use crate::broker::request::container::{ContainerCreate, Process};
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

pub(super) fn create(case: Case<'_>, create: &ContainerCreate) -> Judged {
    let most = case.rules.quota.containers;
    if case.view.count(Kind::Container) >= most {
        let message = format!("a job has at most {most} containers (max_containers in [broker])");
        return Err(Refusal::quota("quota", message));
    }
    let given = create.name.as_deref().map(|name| name.trim_start_matches('/'));
    let name = given.unwrap_or(&case.view.fresh);
    check_name(name)?;
    let image = image::usable(case, &create.image)?;
    let mounts = mounts::of(case, create)?;
    let mut body = process(&create.process)?;
    body.insert("Image".to_owned(), json!(image));
    body.insert("Labels".to_owned(), labels(case, &create.process.labels));
    let attached = network::of_container(case, create, given)?;
    body.insert("HostConfig".to_owned(), host(case, create, &mounts, &attached.mode)?);
    if let Some(endpoints) = attached.endpoints {
        body.insert("NetworkingConfig".to_owned(), json!({"EndpointsConfig": endpoints}));
    }
    let own = Note::Created { kind: Kind::Container, name: name.to_owned(), id: None };
    Ok(allow(Outgoing {
        query: pairs([
            ("name", Some(case.view.daemon_name(name))),
            ("platform", create.platform.clone()),
        ]),
        body: json(&Value::Object(body)),
        notes: [own].into_iter().chain(mounts.notes).chain(image::seen(&image)).collect(),
        links: mounts.links,
        // A daemon under load takes its time for the layers.
        patience: Patience::Job,
        ..post("/containers/create")
    }))
}

/// The job's own labels, and ours over them; ours beat those of the image too.
pub(super) fn labels(case: Case<'_>, own: &BTreeMap<String, String>) -> Value {
    let mut labels = own.clone();
    labels.extend(case.view.labels.clone());
    json!(labels)
}

pub(super) fn process(process: &Process) -> Result<Map<String, Value>, Refusal> {
    super::container::check_signal(process.stop_signal.as_ref())?;
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
    for (key, value) in [
        ("Tty", process.tty),
        ("OpenStdin", process.open_stdin),
        ("StdinOnce", process.stdin_once),
        ("AttachStdin", process.attach_stdin),
        ("AttachStdout", process.attach_stdout),
        ("AttachStderr", process.attach_stderr),
        ("NetworkDisabled", process.network_disabled),
    ] {
        set(key, json!(value));
    }
    for (key, value) in [
        ("WorkingDir", &process.working_dir),
        ("User", &process.user),
        ("Hostname", &process.hostname),
        ("Domainname", &process.domainname),
        ("StopSignal", &process.stop_signal),
    ] {
        if let Some(value) = value {
            set(key, json!(value));
        }
    }
    for (key, words) in
        [("Cmd", &process.cmd), ("Entrypoint", &process.entrypoint), ("Shell", &process.shell)]
    {
        if let Some(words) = words {
            set(key, json!(words));
        }
    }
    set("Env", json!(process.env));
    set("ExposedPorts", exposed(&process.exposed_ports)?);
    if let Some(seconds) = process.stop_timeout {
        set("StopTimeout", json!(seconds.clamp(-1, 3600)));
    }
    if let Some(check) = &process.healthcheck {
        set("Healthcheck", healthcheck(check));
    }
    Ok(body)
}

fn healthcheck(check: &crate::broker::request::container::Healthcheck) -> Value {
    let mut body = json!({
        "Interval": check.interval, "Timeout": check.timeout,
        "StartPeriod": check.start_period, "Retries": check.retries,
    });
    if let Some(test) = &check.test {
        body["Test"] = json!(test);
    }
    if check.start_interval != 0 {
        body["StartInterval"] = json!(check.start_interval);
    }
    body
}

fn exposed(ports: &[String]) -> Result<Value, Refusal> {
    let all: Result<Map<String, Value>, Refusal> =
        ports.iter().map(|port| Ok((check_port(port)?.to_owned(), json!({})))).collect();
    all.map(Value::Object)
}

/// `80`, `80/tcp` or `8000-8010/udp`.
fn check_port(port: &str) -> Result<&str, Refusal> {
    let (numbers, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let numbered = numbers.split('-').all(|number| number.parse::<u16>().is_ok());
    let legal = numbered && matches!(protocol, "tcp" | "udp" | "sctp");
    legal.then_some(port).ok_or_else(|| Refusal::malformed("ports", "a port is NUMBER/PROTOCOL"))
}

fn host(
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
    set("PortBindings", ports(case, create)?);
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

/// Ports are published on the address of the job's own network: its containers reach them there, and the
/// host's own addresses stay free.
fn ports(case: Case<'_>, create: &ContainerCreate) -> Result<Value, Refusal> {
    let asked = &create.host;
    let mut all: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let forbidden = |message: &str| Refusal::forbidden("publish", message);
    let bound = asked.ports.iter().filter(|(_, bindings)| !bindings.is_empty());
    let exposed = create.process.exposed_ports.iter().filter(|_| asked.publish_all);
    for (port, bindings) in bound {
        for binding in bindings {
            let number = binding.port.as_str();
            let free =
                matches!(number, "" | "0") || number.parse::<u16>().is_ok_and(|port| port >= 1024);
            let anywhere =
                matches!(binding.address.as_str(), "" | "0.0.0.0" | "127.0.0.1" | "::" | "::1");
            if !free {
                return Err(forbidden(
                    "ports below 1024 are the host's own; publish another, or none",
                ));
            }
            if !anywhere && Some(&binding.address) != case.view.gateway.as_ref() {
                return Err(forbidden("HostIp is the job's own network's; leave it out"));
            }
            let bound = json!({"HostIp": case.view.gateway, "HostPort": number});
            // `0.0.0.0` and `::` are one address here, and a port of it can be had once.
            let bindings = all.entry(check_port(port)?).or_default();
            if !bindings.contains(&bound) {
                bindings.push(bound);
            }
        }
    }
    for port in exposed {
        let bound = json!({"HostIp": case.view.gateway, "HostPort": ""});
        all.entry(check_port(port)?).or_insert_with(|| vec![bound]);
    }
    if !all.is_empty() && (!case.rules.publish || case.view.gateway.is_none()) {
        return Err(forbidden(
            "ports are not published here; on the job's network containers reach each other by name",
        ));
    }
    Ok(json!(all))
}
