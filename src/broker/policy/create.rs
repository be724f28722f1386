//! A new container (note 3.3): what the job says of its process, on the job's network, under the job's
//! limits, with the job's labels.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Case, Judged, allow, check_name, host, json, mounts, network, pairs, post, publish, visible,
};
use crate::broker::outgoing::{Kind, Note, Outgoing, Patience};
use crate::broker::refusal::Refusal;
use crate::broker::request::container::{ContainerCreate, Process};

pub(super) fn create(case: Case<'_>, create: &ContainerCreate) -> Judged {
    let most = case.rules.quota.containers;
    if case.view.count(Kind::Container) >= most {
        let message = format!("a job has at most {most} containers (max_containers in [broker])");
        return Err(Refusal::quota("quota", message));
    }
    let given = create.name.as_deref().map(|name| name.trim_start_matches('/'));
    let name = given.unwrap_or(&case.view.fresh);
    check_name(name)?;
    let image = visible::usable(case, &create.image)?;
    let mounts = mounts::of(case, create)?;
    let mut body = process(&create.process)?;
    body.insert("Image".to_owned(), json!(image));
    body.insert("Labels".to_owned(), labels(case, &create.process.labels));
    let attached = network::of_container(case, create, given)?;
    let host = host::config(case, create, &mounts, &attached.mode)?;
    let ports = publish::counted(case, &host)?;
    body.insert("HostConfig".to_owned(), host);
    if let Some(endpoints) = attached.endpoints {
        body.insert("NetworkingConfig".to_owned(), json!({"EndpointsConfig": endpoints}));
    }
    let own = Note::Created { kind: Kind::Container, name: name.to_owned(), id: None };
    let published = (ports > 0).then_some(Note::Published { ports });
    Ok(allow(Outgoing {
        query: pairs([
            ("name", Some(case.view.daemon_name(name))),
            ("platform", create.platform.clone()),
        ]),
        body: json(&Value::Object(body)),
        notes: [own]
            .into_iter()
            .chain(published)
            .chain(mounts.notes)
            .chain(visible::seen(&image))
            .collect(),
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
    set("ExposedPorts", publish::exposed(&process.exposed_ports)?);
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
