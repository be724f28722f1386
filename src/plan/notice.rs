//! What is unsafe in force for a job, one line each with the reason: people should not have to read
//! settings to learn what a job may do.

use super::ImagePlan;
use super::prune::Repository;
use crate::job::{JobContext, RunnerVersion};
use crate::settings::SocketMode;

/// All notices of a job.
pub(super) fn all(
    context: &JobContext,
    socket: SocketMode,
    image: &ImagePlan,
    repository: &Repository,
) -> Vec<String> {
    let version = context.variable("CI_RUNNER_VERSION").and_then(RunnerVersion::parse);
    let notices = [
        (socket == SocketMode::Raw).then(|| {
            "this job has the host's Docker socket (docker_socket = \"raw\"): its scripts are root on \
             this host"
                .to_owned()
        }),
        is_floating(&image.reference).then(|| {
            format!(
                "the image {} names no version: what runs may change from job to job; name a tag or a digest",
                image.reference
            )
        }),
        version.filter(|version| !version.is_supported()).map(|version| {
            format!(
                "GitLab Runner {version} does not read exit codes of scripts, so allow_failure:exit_codes \
                 has no effect; {} or newer does",
                RunnerVersion::MINIMUM
            )
        }),
        repository.problem(),
    ];
    notices.into_iter().flatten().collect()
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
