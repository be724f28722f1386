//! Ports of a new container: which are exposed, and where they are published. Never on an address of the host
//! but that of the job's own network.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Case;
use crate::broker::refusal::Refusal;
use crate::broker::request::container::ContainerCreate;

/// Most ports that a job's containers publish.
const MOST: usize = 128;

/// Ports are published on the address of the job's own network: its containers reach them there, and the
/// host's own addresses stay free.
pub(super) fn ports(case: Case<'_>, create: &ContainerCreate) -> Result<Value, Refusal> {
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

/// How many ports this `HostConfig` publishes, as long as the job's containers may: each is a process of the host's,
/// of 3 MiB, that no limit of the job's holds for.
pub(super) fn counted(case: Case<'_>, host: &Value) -> Result<usize, Refusal> {
    let bindings = host.get("PortBindings").and_then(Value::as_object).into_iter().flatten();
    let ports = bindings.filter_map(|(_, bound)| bound.as_array()).map(Vec::len).sum();
    let published: usize = case.view.own.ports.values().sum();
    if ports > 0 && published + ports > MOST {
        let message = format!("the containers of a job publish at most {MOST} ports");
        return Err(Refusal::quota("quota", message));
    }
    Ok(ports)
}

/// `ExposedPorts` as Docker writes them.
pub(super) fn exposed(ports: &[String]) -> Result<Value, Refusal> {
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
