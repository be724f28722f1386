//! Turns the daemon's answers into our own types. Pure: asks nothing, drops what nobody here needs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::UNIX_EPOCH;

use bollard::models;

use crate::engine::{
    ContainerState, ContainerSummary, ImageFacts, ImageSummary, Named, NetworkSummary, PullProgress,
};

/// One entry of `GET /containers/json`.
pub(super) fn container_summary(answer: models::ContainerSummary) -> ContainerSummary {
    let networks = answer.network_settings.and_then(|settings| settings.networks);
    ContainerSummary {
        id: answer.id.unwrap_or_default(),
        name: own_name(answer.names.as_deref().unwrap_or_default()),
        image_id: answer.image_id.unwrap_or_default(),
        state: answer.state.map(|state| state.to_string()).unwrap_or_default(),
        labels: answer.labels.unwrap_or_default().into_iter().collect(),
        networks: sorted(networks.unwrap_or_default().into_keys()),
        volumes: sorted(
            answer.mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.name),
        ),
        created: answer.created.unwrap_or_default(),
    }
}

/// A container linked to by others is listed under their paths too (`/other/alias`).
fn own_name(names: &[String]) -> String {
    names
        .iter()
        .filter_map(|name| name.strip_prefix('/'))
        .find(|name| !name.contains('/'))
        .unwrap_or_default()
        .to_owned()
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

/// The answer of `GET /containers/NAME/json`.
pub(super) fn container_state(answer: models::ContainerInspectResponse) -> ContainerState {
    let state = answer.state.unwrap_or_default();
    ContainerState {
        id: answer.id.unwrap_or_default(),
        running: state.running.unwrap_or_default(),
        exit_code: state.exit_code.unwrap_or_default(),
        oom_killed: state.oom_killed.unwrap_or_default(),
        error: state.error.unwrap_or_default(),
        address: answer.network_settings.and_then(address),
    }
}

/// The address on the first network that gave one.
fn address(settings: models::NetworkSettings) -> Option<IpAddr> {
    let networks: BTreeMap<_, _> = settings.networks.unwrap_or_default().into_iter().collect();
    networks.into_values().find_map(|endpoint| endpoint.ip_address?.parse().ok())
}

/// `5432/tcp`; a range such as `1600-1601/tcp` is all of its ports, and no protocol is TCP.
fn tcp_ports(exposed: &[String]) -> Vec<u16> {
    let mut ports: Vec<u16> = exposed
        .iter()
        .filter_map(|port| {
            let (range, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            (protocol == "tcp").then_some((first.parse().ok()?, last.parse().ok()?))
        })
        .flat_map(|(first, last): (u16, u16)| first..=last)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// What is to be executed of `HEALTHCHECK`.
fn health_command(check: Option<models::HealthConfig>) -> Vec<String> {
    let test = check.and_then(|check| check.test).unwrap_or_default();
    match test.split_first() {
        Some((kind, words)) if kind == "CMD" => words.to_vec(),
        Some((kind, words)) if kind == "CMD-SHELL" => {
            ["/bin/sh", "-c"].map(str::to_owned).into_iter().chain(words.iter().cloned()).collect()
        }
        _ => Vec::new(),
    }
}

/// The answer of `GET /images/REFERENCE/json`.
pub(super) fn image_facts(answer: models::ImageInspect) -> ImageFacts {
    let config = answer.config.unwrap_or_default();
    let platform = [answer.os, answer.architecture, answer.variant];
    ImageFacts {
        id: answer.id.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        platform: platform
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/"),
        digests: answer.repo_digests.unwrap_or_default(),
        size: unsigned(answer.size.unwrap_or_default()),
        ports: tcp_ports(&config.exposed_ports.unwrap_or_default()),
        health_command: health_command(config.healthcheck),
        layers: answer.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        tagged: answer.metadata.and_then(|about| moment(&about.last_tag_time?)),
    }
}

/// Unix seconds of a time that the daemon tells, in whatever zone it is. One that was never is the year 1.
pub(super) fn moment(rfc3339: &str) -> Option<u64> {
    let (time, zone) = rfc3339.split_at_checked(19)?;
    let time = humantime::parse_rfc3339_weak(time).ok()?;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let zone = zone.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let Some((hours, minutes)) = zone.get(1..).and_then(|offset| offset.split_once(':')) else {
        return Some(seconds);
    };
    let offset = hours.parse::<u64>().ok()? * 3600 + minutes.parse::<u64>().ok()? * 60;
    if zone.starts_with('-') { Some(seconds + offset) } else { seconds.checked_sub(offset) }
}

/// One entry of `GET /images/json`.
pub(super) fn image_summary(answer: models::ImageSummary) -> ImageSummary {
    ImageSummary {
        id: answer.id,
        tags: without_none(answer.repo_tags),
        digests: without_none(answer.repo_digests),
        labels: answer.labels.into_iter().collect(),
        created: answer.created,
        size: unsigned(answer.size),
    }
}

/// Up to API 1.43 a dangling image has the tag `<none>:<none>` and the digest `<none>@<none>`. With a
/// digest but no tag it is `repo:<none>`.
pub(super) fn without_none(references: Vec<String>) -> Vec<String> {
    references.into_iter().filter(|reference| !reference.contains("<none>")).collect()
}

/// One entry of `GET /networks`.
pub(super) fn network(answer: models::Network) -> NetworkSummary {
    let pools = answer.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    NetworkSummary {
        name: answer.name.unwrap_or_default(),
        labels: answer.labels.unwrap_or_default().into_iter().collect(),
        subnets: pools.into_iter().filter_map(|pool| pool.subnet).collect(),
    }
}

/// The gateway in the answer of `GET /networks/NAME`; the IPv4 one where there are two.
///
/// The daemon does not tell the default bridge's until a container was on it (seen on 20.10); it is the
/// first address of its subnet, as Docker itself chooses it.
pub(super) fn gateway(answer: models::NetworkInspect) -> Option<String> {
    let pools = answer.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let mut gateways: Vec<String> = pools
        .into_iter()
        .filter_map(|pool| {
            let told = pool.gateway.filter(|text| !text.is_empty());
            told.or_else(|| first_address(&pool.subnet?))
        })
        .collect();
    gateways.sort_by_key(|address| address.contains(':'));
    gateways.into_iter().next()
}

fn first_address(subnet: &str) -> Option<String> {
    let network: Ipv4Addr = subnet.split('/').next()?.parse().ok()?;
    Some(Ipv4Addr::from(u32::from(network).checked_add(1)?).to_string())
}

/// One entry of `GET /volumes`.
pub(super) fn volume(answer: models::Volume) -> Named {
    Named { name: answer.name, labels: answer.labels.into_iter().collect() }
}

/// One line of the stream of `POST /images/create`.
pub(super) fn progress(line: models::CreateImageInfo) -> PullProgress {
    let bytes = line.progress_detail.and_then(|detail| detail.current.zip(detail.total));
    PullProgress {
        layer: line.id.unwrap_or_default(),
        status: line.status.unwrap_or_default(),
        bytes: bytes.map(|(current, total)| (unsigned(current), unsigned(total))),
    }
}

/// Sizes are signed in the daemon's answers; -1 means that it did not count.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests;
