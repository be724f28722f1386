//! The part of a create request that says how much a container may use, what it may do to its host and how
//! it finds names. Pure.

use bollard::models::{DeviceMapping, DeviceRequest, HostConfig, ResourcesUlimits};

use super::signed;
use crate::plan::container::{ContainerPlan, Gpus, IsolationPlan, LimitPlan, ResolverPlan};

/// The host configuration with the plan's limits, rights and resolver.
pub(super) fn confined(plan: &ContainerPlan) -> HostConfig {
    let host = limited(&plan.limits, HostConfig::default());
    let host = isolated(&plan.isolation, host);
    let host = resolving(&plan.resolver, host);
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(plan.capabilities.clone()),
        security_opt: Some(plan.security.clone()),
        ..host
    }
}

fn limited(limits: &LimitPlan, host: HostConfig) -> HostConfig {
    let ulimit = |(name, soft, hard): &(String, i64, i64)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(*soft),
        hard: Some(*hard),
    };
    HostConfig {
        memory: limits.memory_bytes.map(signed),
        memory_swap: limits.memory_swap_bytes.map(signed),
        memory_reservation: limits.memory_reservation_bytes.map(signed),
        nano_cpus: limits.nano_cpus.map(signed),
        cpuset_cpus: limits.cpuset_cpus.clone(),
        cpuset_mems: limits.cpuset_mems.clone(),
        cpu_shares: limits.cpu_shares.map(i64::from),
        pids_limit: limits.pids.map(i64::from),
        shm_size: limits.shm_bytes.map(signed),
        ulimits: some(&limits.ulimits).map(|all| all.iter().map(ulimit).collect()),
        cgroup_parent: limits.cgroup_parent.clone(),
        ..host
    }
}

fn isolated(isolation: &IsolationPlan, host: HostConfig) -> HostConfig {
    let device = |(on_host, inside, permissions): &(String, String, String)| DeviceMapping {
        path_on_host: Some(on_host.clone()),
        path_in_container: Some(inside.clone()),
        cgroup_permissions: Some(permissions.clone()),
    };
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        (!map.is_empty()).then(|| map.clone().into_iter().collect())
    };
    HostConfig {
        privileged: Some(isolation.privileged),
        runtime: isolation.runtime.clone(),
        userns_mode: isolation.userns.clone(),
        devices: some(&isolation.devices).map(|all| all.iter().map(device).collect()),
        device_cgroup_rules: some(&isolation.device_cgroup_rules).cloned(),
        device_requests: isolation.gpus.as_ref().map(|gpus| vec![request(gpus)]),
        sysctls: pairs(&isolation.sysctls),
        group_add: some(&isolation.group_add).cloned(),
        tmpfs: pairs(&isolation.tmpfs),
        ..host
    }
}

/// As Docker's own command line asks for GPUs.
fn request(gpus: &Gpus) -> DeviceRequest {
    let (count, device_ids) = match gpus {
        Gpus::Count(count) => (Some(*count), None),
        Gpus::Devices(ids) => (None, Some(ids.clone())),
    };
    let capabilities = Some(vec![vec!["gpu".to_owned()]]);
    DeviceRequest { driver: None, count, device_ids, capabilities, options: None }
}

fn resolving(resolver: &ResolverPlan, host: HostConfig) -> HostConfig {
    HostConfig {
        dns: some(&resolver.dns).cloned(),
        dns_search: some(&resolver.dns_search).cloned(),
        dns_options: some(&resolver.dns_options).cloned(),
        extra_hosts: some(&resolver.extra_hosts).cloned(),
        ..host
    }
}

/// An empty list is left out: some of them the daemon refuses for a container that joins another.
fn some<T>(list: &Vec<T>) -> Option<&Vec<T>> {
    (!list.is_empty()).then_some(list)
}
