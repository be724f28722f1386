//! What is unsafe in force for a job, one line each with the reason: people should not have to read
//! settings to learn what a job may do.

use std::collections::BTreeSet;

use super::{ImagePlan, NetworkPlan, Rights, isolation};
use crate::job::{JobContext, RunnerVersion};
use crate::settings::{Settings, SocketMode};

/// All notices of a job with this image, these rights and this network.
pub(super) fn all(
    context: &JobContext,
    settings: &Settings,
    (image, rights, network): (&ImagePlan, &Rights, &NetworkPlan),
) -> Vec<String> {
    let socket = (settings.docker.docker_socket == SocketMode::Raw).then(|| {
        "this job has the host's Docker socket (docker_socket = \"raw\"): its scripts are root on \
         this host"
            .to_owned()
    });
    let not_privileged = isolation::not_privileged(&settings.isolation, &image.reference);
    let version = context.variable("CI_RUNNER_VERSION").and_then(RunnerVersion::parse);
    let version = version.filter(|version| !version.is_supported()).map(|version| {
            format!(
                "GitLab Runner {version} does not read exit codes of scripts, so allow_failure:exit_codes \
                 has no effect; {} or newer does",
                RunnerVersion::MINIMUM
            )
        });
    let flags = [network_per_build(context, network), native_steps(context)];
    let unsafe_rights = rights.unsafe_in_force().into_iter().chain(network.unsafe_in_force());
    socket
        .into_iter()
        .chain(unsafe_rights)
        .chain(not_privileged)
        .chain(version)
        .chain(flags.into_iter().flatten())
        .collect()
}

/// GitLab's flag for what a job has here anyway, under a name of GitLab's that exists nowhere.
fn network_per_build(context: &JobContext, network: &NetworkPlan) -> Option<String> {
    let asked = context.variable("FF_NETWORK_PER_BUILD") == Some("true");
    (asked && network.named.is_none()).then(|| {
        "FF_NETWORK_PER_BUILD: each job has a network of its own here; its name is in LONGSHORE_NETWORK, not \
         in CI_BUILD_NETWORK_NAME"
            .to_owned()
    })
}

/// Jobs of `run:`, which no custom executor runs natively: the runner makes a script of them.
fn native_steps(context: &JobContext) -> Option<String> {
    context.response.has_native_steps().then(|| {
        "this job's `run:` steps are done by the program step-runner, which its image has to bring: native \
         steps need another executor"
            .to_owned()
    })
}

/// One line about all images of the job and its services that may be another one tomorrow.
pub(super) fn floating<'i>(images: impl Iterator<Item = &'i ImagePlan>) -> Option<String> {
    let floating: BTreeSet<&str> =
        images.map(|image| image.reference.as_str()).filter(|name| is_floating(name)).collect();
    let (subject, verb, object) = match floating.len() {
        0 => return None,
        1 => ("image", "names", "a tag or a digest"),
        _ => ("images", "name", "tags or digests"),
    };
    let names = floating.into_iter().collect::<Vec<_>>().join(", ");
    Some(format!(
        "the {subject} {names} {verb} no version: what runs may change from job to job; name {object}"
    ))
}

/// Whether a reference has neither a digest nor a tag other than `latest`.
fn is_floating(reference: &str) -> bool {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

#[cfg(test)]
mod tests {
    use super::is_floating;

    #[test]
    fn a_registrys_port_is_no_tag() {
        for (reference, floating) in [
            ("python", true),
            ("python:latest", true),
            ("reg.example:5000/team/app", true),
            ("reg.example:5000/team/app:1", false),
            ("python:3.13", false),
            ("python@sha256:0", false),
        ] {
            assert_eq!(is_floating(reference), floating, "{reference}");
        }
    }
}
