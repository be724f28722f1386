//! Reads requests for networks and volumes (note 3.5). Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::refusal::Refusal;

use super::container::{labels, words};
use super::fields::{Fields, wrong};

/// A container's place on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Further names on that network.
    pub aliases: Vec<String>,
}

/// What an endpoint never says.
const NEVER: [(&str, &str, &str); 3] = [
    ("Links", "network", "containers find each other by name"),
    ("DriverOpts", "network", "options of the driver are the operator's"),
    ("MacAddress", "network", "addresses are given by the network"),
];

/// What the daemon fills in, and clients send back as they got it.
const FILLED_IN: [&str; 6] =
    ["NetworkID", "EndpointID", "Gateway", "IPAddress", "IPv6Gateway", "GlobalIPv6Address"];

impl Endpoint {
    pub(super) fn read(mut fields: Fields) -> Result<Self, Refusal> {
        fields.nothing(&NEVER)?;
        for key in FILLED_IN {
            fields.take::<String>(key)?;
        }
        for key in ["IPPrefixLen", "GlobalIPv6PrefixLen", "GwPriority"] {
            fields.take::<i64>(key)?;
        }
        fields.take::<Vec<String>>("DNSNames")?;
        let mut addresses = fields.object("IPAMConfig")?;
        let hint = "addresses are given by the network";
        addresses.nothing(&[
            ("IPv4Address", "network", hint),
            ("IPv6Address", "network", hint),
            ("LinkLocalIPs", "network", hint),
        ])?;
        addresses.end()?;
        let aliases = words(&mut fields, "Aliases")?.unwrap_or_default();
        let place = fields.path("Aliases");
        fields.end()?;
        if aliases.len() > 32 || !aliases.iter().all(|alias| is_host_name(alias)) {
            return Err(wrong(&place, "at most 32 host names"));
        }
        Ok(Self { aliases })
    }
}

/// Whether a text can stand in the daemon's DNS.
pub(in crate::broker) fn is_host_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(legal)
}

/// `POST /networks/create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkCreate {
    /// The job's name for it.
    pub name: String,
    /// Whether it leads nowhere but to its containers.
    pub internal: bool,
    /// `Attachable`
    pub attachable: bool,
    /// `EnableIPv6`
    pub ipv6: bool,
    /// `Options["com.docker.network.driver.mtu"]`
    pub mtu: Option<u16>,
    /// Labels of the job's own.
    pub labels: BTreeMap<String, String>,
}

const MTU: &str = "com.docker.network.driver.mtu";

impl NetworkCreate {
    pub(super) fn read(body: Value) -> Result<Self, Refusal> {
        let mut body = Fields::of("", body)?;
        let driver = body.text("Driver")?;
        if !matches!(driver.as_deref(), None | Some("bridge" | "default")) {
            return Err(Refusal::forbidden(
                "network",
                "Driver must be bridge: others reach the host",
            ));
        }
        let scope = body.text("Scope")?;
        if !matches!(scope.as_deref(), None | Some("local")) {
            return Err(Refusal::forbidden("network", "Scope must be local: there is no cluster"));
        }
        body.nothing(&[
            ("Ingress", "network", "there is no cluster"),
            ("ConfigOnly", "network", "networks are made whole"),
        ])?;
        let mut from = body.object("ConfigFrom")?;
        from.nothing(&[("Network", "network", "networks are made whole")])?;
        from.end()?;
        ipam(body.object("IPAM")?)?;
        let mtu = mtu(&mut body)?;
        // Always checked here.
        body.take::<bool>("CheckDuplicate")?;
        if body.take::<bool>("EnableIPv4")? == Some(false) {
            return Err(Refusal::forbidden("network", "EnableIPv4 must be true or left out"));
        }
        let create = Self {
            name: body.text("Name")?.unwrap_or_default(),
            internal: body.or_zero("Internal")?,
            attachable: body.or_zero("Attachable")?,
            ipv6: body.or_zero("EnableIPv6")?,
            mtu,
            labels: labels(&mut body, "Labels")?,
        };
        body.end()?;
        Ok(create)
    }
}

/// The default driver, without a word about addresses: those of the host's own networks could be among
/// them.
fn ipam(mut ipam: Fields) -> Result<(), Refusal> {
    let driver = ipam.text("Driver")?;
    if !matches!(driver.as_deref(), None | Some("default")) {
        return Err(Refusal::forbidden("network", "IPAM.Driver must be default"));
    }
    ipam.nothing(&[
        ("Config", "network", "subnets are given by the daemon"),
        ("Options", "network", "subnets are given by the daemon"),
    ])?;
    ipam.end()
}

fn mtu(body: &mut Fields) -> Result<Option<u16>, Refusal> {
    let mut options = body.object("Options")?;
    let mtu: Option<String> = options.text(MTU)?;
    let place = options.path("mtu");
    options.end()?;
    let number = |text: String| text.parse::<u16>().map_err(|_| wrong(&place, "a number of bytes"));
    mtu.map(number).transpose()
}

/// `POST /networks/NAME/connect` and `disconnect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The container.
    pub container: String,
    /// Its place, for `connect`.
    pub endpoint: Endpoint,
    /// `Force`, for `disconnect`.
    pub force: bool,
}

impl Connection {
    pub(super) fn read(body: Value) -> Result<Self, Refusal> {
        let mut body = Fields::of("", body)?;
        let connection = Self {
            container: body.text("Container")?.unwrap_or_default(),
            endpoint: Endpoint::read(body.object("EndpointConfig")?)?,
            force: body.or_zero("Force")?,
        };
        body.end()?;
        Ok(connection)
    }
}

/// `POST /volumes/create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeCreate {
    /// The job's name for it.
    pub name: Option<String>,
    /// Labels of the job's own.
    pub labels: BTreeMap<String, String>,
}

impl VolumeCreate {
    pub(super) fn read(body: Value) -> Result<Self, Refusal> {
        let mut body = Fields::of("", body)?;
        let driver = body.text("Driver")?;
        if !matches!(driver.as_deref(), None | Some("local")) {
            return Err(Refusal::forbidden("volumes", "Driver must be local"));
        }
        body.nothing(&[
            (
                "DriverOpts",
                "volumes",
                "a volume's options can show any path of the host; volumes have none here",
            ),
            ("ClusterVolumeSpec", "volumes", "there is no cluster"),
        ])?;
        let create = Self { name: body.text("Name")?, labels: labels(&mut body, "Labels")? };
        body.end()?;
        Ok(create)
    }
}
