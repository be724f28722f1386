//! Reads `HostConfig`: how a container stands on its host. What can only harm is refused here, by name;
//! the rest is judged by the policy (note 3.3). Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::refusal::Refusal;

use super::container::words;
use super::fields::{Fields, wrong};
use super::limits::Limits;
use super::mount::Mount;

/// The fields of `HostConfig` that a job has a say in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostConfig {
    /// `Binds`: `SOURCE:TARGET[:OPTIONS]`.
    pub binds: Vec<String>,
    /// `Mounts`
    pub mounts: Vec<Mount>,
    /// `Tmpfs`: target and mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// `NetworkMode`
    pub network_mode: Option<String>,
    /// `IpcMode`
    pub ipc_mode: Option<String>,
    /// `VolumesFrom`: `CONTAINER[:ro|rw]`.
    pub volumes_from: Vec<String>,
    /// `PortBindings`
    pub ports: BTreeMap<String, Vec<Port>>,
    /// `PublishAllPorts`
    pub publish_all: bool,
    /// `AutoRemove`
    pub auto_remove: bool,
    /// `Init`
    pub init: Option<bool>,
    /// `ReadonlyRootfs`
    pub read_only: bool,
    /// `CapAdd`
    pub cap_add: Vec<String>,
    /// `CapDrop`
    pub cap_drop: Vec<String>,
    /// `SecurityOpt`
    pub security_opt: Vec<String>,
    /// `ExtraHosts`: `NAME:ADDRESS`.
    pub extra_hosts: Vec<String>,
    /// `DnsSearch`
    pub dns_search: Vec<String>,
    /// `LogConfig.Type`
    pub log_driver: Option<String>,
    /// How much it may use.
    pub limits: Limits,
}

/// Where a port is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Port {
    /// `HostIp`
    pub address: String,
    /// `HostPort`; empty or `0` for any.
    pub port: String,
}

/// What a job never gets: field, rule, why and what instead.
const NEVER: [(&str, &str, &str); 31] = [
    ("Privileged", "privileged", "it is root on the host; ask for the single thing you need"),
    ("Devices", "devices", "a job gets no device of the host"),
    ("DeviceCgroupRules", "devices", "a job gets no device of the host"),
    ("DeviceRequests", "devices", "a job gets no GPU through the socket"),
    ("MaskedPaths", "security", "what Docker hides of /proc stays hidden"),
    ("ReadonlyPaths", "security", "what Docker protects in /proc stays protected"),
    ("Sysctls", "security", "kernel settings are the operator's"),
    ("Runtime", "security", "the runtime is the operator's choice"),
    ("UsernsMode", "namespace", "the user namespace is the operator's choice"),
    ("PidMode", "namespace", "a container sees only its own processes; use docker exec"),
    ("UTSMode", "namespace", "a container has its own host name; set it with --hostname"),
    ("Cgroup", "namespace", "the control group is the job's"),
    ("CgroupParent", "namespace", "the control group is the job's"),
    ("Isolation", "field", "it is for Windows"),
    ("GroupAdd", "security", "groups of the host are none of a job's"),
    ("Links", "network", "containers find each other by name on the job's network"),
    ("VolumeDriver", "volumes", "volumes are of the driver local"),
    ("StorageOpt", "limits", "storage is the operator's"),
    ("OomKillDisable", "limits", "a container over its limit ends"),
    ("KernelMemory", "limits", "use --memory"),
    ("KernelMemoryTCP", "limits", "use --memory"),
    ("CpuRealtimePeriod", "limits", "real time is not for jobs"),
    ("CpuRealtimeRuntime", "limits", "real time is not for jobs"),
    ("CpusetCpus", "limits", "which CPUs is the operator's choice; use --cpus"),
    ("CpusetMems", "limits", "which memory is the operator's choice"),
    ("BlkioWeight", "limits", "disk shares are the operator's"),
    ("Dns", "network", "names are found as the operator has set it"),
    ("DnsOptions", "network", "names are found as the operator has set it"),
    ("Annotations", "security", "annotations steer the runtime, which is the operator's"),
    ("CpuCount", "field", "it is for Windows"),
    ("CpuPercent", "field", "it is for Windows"),
];

/// The same for lists of devices, which clients send empty.
const NEVER_DISKS: [(&str, &str, &str); 7] = [
    ("BlkioWeightDevice", "limits", "disk shares are the operator's"),
    ("BlkioDeviceReadBps", "limits", "disk shares are the operator's"),
    ("BlkioDeviceWriteBps", "limits", "disk shares are the operator's"),
    ("BlkioDeviceReadIOps", "limits", "disk shares are the operator's"),
    ("BlkioDeviceWriteIOps", "limits", "disk shares are the operator's"),
    ("IOMaximumIOps", "field", "it is for Windows"),
    ("IOMaximumBandwidth", "field", "it is for Windows"),
];

impl HostConfig {
    pub(super) fn read(mut fields: Fields) -> Result<Self, Refusal> {
        fields.nothing(&NEVER)?;
        fields.nothing(&NEVER_DISKS)?;
        let host = Self {
            binds: words(&mut fields, "Binds")?.unwrap_or_default(),
            mounts: fields
                .objects("Mounts")?
                .into_iter()
                .map(Mount::read)
                .collect::<Result<_, _>>()?,
            tmpfs: fields.or_zero("Tmpfs")?,
            network_mode: fields.text("NetworkMode")?,
            ipc_mode: fields.text("IpcMode")?,
            volumes_from: words(&mut fields, "VolumesFrom")?.unwrap_or_default(),
            ports: ports(&mut fields)?,
            publish_all: fields.or_zero("PublishAllPorts")?,
            auto_remove: fields.or_zero("AutoRemove")?,
            init: fields.take("Init")?,
            read_only: fields.or_zero("ReadonlyRootfs")?,
            cap_add: words(&mut fields, "CapAdd")?.unwrap_or_default(),
            cap_drop: words(&mut fields, "CapDrop")?.unwrap_or_default(),
            security_opt: words(&mut fields, "SecurityOpt")?.unwrap_or_default(),
            extra_hosts: words(&mut fields, "ExtraHosts")?.unwrap_or_default(),
            dns_search: words(&mut fields, "DnsSearch")?.unwrap_or_default(),
            log_driver: log_driver(&mut fields)?,
            limits: Limits::read(&mut fields)?,
        };
        harmless(&mut fields)?;
        fields.end()?;
        Ok(host)
    }
}

/// Fields that are read so that clients work, and passed on to nobody.
fn harmless(fields: &mut Fields) -> Result<(), Refusal> {
    // The client's own file, and the size of its screen.
    fields.take::<String>("ContainerIDFile")?;
    fields.take::<Vec<i64>>("ConsoleSize")?;
    if !matches!(fields.or_zero::<i64>("MemorySwappiness")?, -1 | 0) {
        return Err(Refusal::forbidden(
            "limits",
            format!("{} is not allowed: swap is the operator's", fields.path("MemorySwappiness")),
        ));
    }
    let cgroupns = fields.text("CgroupnsMode")?;
    if !matches!(cgroupns.as_deref(), None | Some("private")) {
        return Err(Refusal::forbidden(
            "namespace",
            format!("{} must be private or left out", fields.path("CgroupnsMode")),
        ));
    }
    let mut restart = fields.object("RestartPolicy")?;
    let policy = restart.text("Name")?;
    restart.or_zero::<i64>("MaximumRetryCount")?;
    if !matches!(policy.as_deref(), None | Some("no")) {
        return Err(Refusal::forbidden(
            "restart",
            "HostConfig.RestartPolicy is not allowed: containers end with their job; leave it out",
        ));
    }
    restart.end()
}

fn ports(fields: &mut Fields) -> Result<BTreeMap<String, Vec<Port>>, Refusal> {
    let place = fields.path("PortBindings");
    let entries: BTreeMap<String, Option<Vec<Value>>> = fields.or_zero("PortBindings")?;
    let read = |value: Value| -> Result<Port, Refusal> {
        let mut fields = Fields::of(&format!("{place}[]"), value)?;
        let address = fields.text("HostIp")?.unwrap_or_default();
        let port = match fields.take::<Value>("HostPort")? {
            None => String::new(),
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(wrong(&fields.path("HostPort"), "a port")),
        };
        fields.end()?;
        Ok(Port { address, port })
    };
    let entries = entries.into_iter().map(|(port, bindings)| {
        let bindings = bindings.unwrap_or_default().into_iter().map(read);
        Ok((port, bindings.collect::<Result<Vec<_>, _>>()?))
    });
    entries.collect()
}

fn log_driver(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    let mut log = fields.object("LogConfig")?;
    let driver = log.text("Type")?;
    let mut config = log.object("Config")?;
    for known in ["max-size", "max-file", "compress", "mode"] {
        config.take::<String>(known)?;
    }
    config.end()?;
    log.end()?;
    Ok(driver)
}
