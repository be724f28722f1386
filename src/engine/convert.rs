//! Turns a container's plan into the body of the daemon's create request. Pure: reads nothing but the
//! plan, asks no daemon, decides no policy.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount,
    MountTmpfsOptions, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig,
    NetworkingConfig,
};

use crate::plan::container::{ContainerNetwork, ContainerPlan, Labels, MountPlan, MountSource};

mod confine;

mod own_process;

/// The plan still names a slot to be leased; a container cannot be created on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its network is still a slot to be leased; lease one and put its name into the plan first")]
pub(super) struct Unleased;

/// Turns a plan into the body of `POST /containers/create`.
///
/// # Errors
/// [`Unleased`] where the plan's network is still [`ContainerNetwork::Slot`].
pub(super) fn create_body(plan: &ContainerPlan) -> Result<ContainerCreateBody, Unleased> {
    let (network_mode, networking_config) = network(&plan.network)?;
    let agent = !plan.entrypoint.is_empty();
    let body = ContainerCreateBody {
        image: Some(plan.image.clone()),
        hostname: plan.hostname.clone(),
        user: Some(plan.user.clone()),
        env: Some(plan.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        entrypoint: agent.then(|| plan.entrypoint.clone()),
        cmd: agent.then(Vec::new),
        // The image's own check was written for the image's own process; ours is another one.
        healthcheck: agent.then(no_healthcheck),
        labels: Some(labels(&plan.labels)),
        // StdinOnce would close the input for good at the first hang-up; a TTY would mix the streams.
        open_stdin: Some(true),
        stdin_once: Some(false),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        host_config: Some(host_config(plan, network_mode)),
        networking_config,
        ..ContainerCreateBody::default()
    };
    Ok(match &plan.own_process {
        Some(own) => own_process::apply(body, own),
        None => body,
    })
}

fn no_healthcheck() -> HealthConfig {
    HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }
}

fn labels(labels: &Labels) -> HashMap<String, String> {
    labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn host_config(plan: &ContainerPlan, network_mode: String) -> HostConfig {
    HostConfig {
        network_mode: Some(network_mode),
        mounts: Some(plan.mounts.iter().map(mount).collect()),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        // A daemon may be set to put its own init in front; the agent is PID 1 itself.
        init: Some(false),
        ..confine::confined(plan)
    }
}

fn network(network: &ContainerNetwork) -> Result<(String, Option<NetworkingConfig>), Unleased> {
    match network {
        ContainerNetwork::Named { name, aliases } => Ok((name.clone(), endpoint(name, aliases))),
        ContainerNetwork::Join(container) => Ok((format!("container:{container}"), None)),
        ContainerNetwork::Slot { .. } => Err(Unleased),
    }
}

/// The default networks (`bridge`, `host`, `none`) refuse a create that names aliases, even none.
fn endpoint(name: &str, aliases: &[String]) -> Option<NetworkingConfig> {
    if aliases.is_empty() {
        return None;
    }
    let settings =
        EndpointSettings { aliases: Some(aliases.to_vec()), ..EndpointSettings::default() };
    Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(name.to_owned(), settings)])) })
}

fn mount(plan: &MountPlan) -> Mount {
    let mut mount = Mount {
        target: Some(plan.target.clone()),
        read_only: Some(plan.read_only),
        ..Mount::default()
    };
    match &plan.source {
        MountSource::Volume { name, labels, tmpfs_bytes } => {
            mount.typ = Some(MountType::VOLUME);
            mount.source = Some(name.clone());
            mount.volume_options = Some(volume(labels, *tmpfs_bytes));
        }
        MountSource::Tmpfs { bytes } => {
            mount.typ = Some(MountType::TMPFS);
            mount.tmpfs_options = Some(MountTmpfsOptions {
                size_bytes: Some(signed(*bytes)),
                // Else everybody in the container may write there; the agent gives away what it puts in.
                mode: Some(0o755),
                ..MountTmpfsOptions::default()
            });
        }
        // As a mount, not a bind: a path that is missing is an error, not a new empty directory.
        MountSource::HostPath(path) => {
            mount.typ = Some(MountType::BIND);
            mount.source = Some(path.clone());
        }
    }
    mount
}

fn volume(volume_labels: &Labels, tmpfs_bytes: Option<u64>) -> MountVolumeOptions {
    MountVolumeOptions {
        // Else the daemon fills a new volume with what the image has at that path: an image could
        // put files of its own into the volume that later jobs run the agent from.
        no_copy: Some(true),
        labels: Some(labels(volume_labels)),
        driver_config: tmpfs_bytes.map(tmpfs_driver),
        subpath: None,
    }
}

/// A volume of the `local` driver that is a tmpfs, so that two containers can share it.
fn tmpfs_driver(bytes: u64) -> MountVolumeOptionsDriverConfig {
    let options = [
        ("type", "tmpfs".to_owned()),
        ("device", "tmpfs".to_owned()),
        ("o", format!("size={bytes},mode=0755")),
    ];
    MountVolumeOptionsDriverConfig {
        name: Some("local".to_owned()),
        options: Some(options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
    }
}

/// The daemon's numbers are signed; no machine has more than `i64::MAX` of anything.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
