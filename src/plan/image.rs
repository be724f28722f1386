//! Which image a job gets, and how it comes to this host.

use serde::Serialize;

use crate::job::{JobContext, JobImage, RunnerVersion};
use crate::settings::{PullPolicy, Settings};

use super::Refusal;
use super::login::{self, Login};

/// One image to have on the host before the job starts.
#[derive(Debug, Clone, Serialize)]
pub struct ImagePlan {
    /// Its reference, expanded.
    pub reference: String,
    /// `os/arch[/variant]`, where the job asked for one.
    pub platform: Option<String>,
    /// Tried in order.
    pub policies: Vec<PullPolicy>,
    /// Seconds that getting it may take in all, tries and waits included.
    pub deadline_seconds: u64,
    /// Credentials of its registry; the password is not printed.
    pub login: Option<Login>,
}

/// The job's own image.
pub(super) fn of_job(context: &JobContext, settings: &Settings) -> Result<ImagePlan, Refusal> {
    let allowed = &settings.docker.allowed_images;
    let wanted = &context.response.image;
    let default = settings.docker.default_image.as_deref();
    // The runner has expanded it already; one of 17.9 to 18 leaves some forms as they are.
    let name = context.expand(&wanted.name);
    let reference = match (name.trim(), default) {
        ("", None) => return Err(Refusal::NoImage),
        ("", Some(default)) => default,
        (name, _) => name,
    };
    if Some(reference) != default && !allowed.matches(reference) {
        return Err(Refusal::ImageNotAllowed {
            image: reference.to_owned(),
            allowed: allowed.written().join(", "),
        });
    }
    let platform = context.expand(&wanted.executor_opts.docker.platform);
    Ok(ImagePlan {
        reference: reference.to_owned(),
        platform: (!platform.is_empty()).then_some(platform),
        policies: policies(wanted, settings)?,
        deadline_seconds: settings.docker.pull_deadline.0.as_secs(),
        login: login::of(reference, context),
    })
}

/// A service's image. The operator's own services need not be on the list.
pub(super) fn of_service(
    context: &JobContext,
    settings: &Settings,
    wanted: &JobImage,
    operators: bool,
) -> Result<ImagePlan, Refusal> {
    let allowed = &settings.docker.allowed_services;
    let name = context.expand(&wanted.name);
    let reference = name.trim();
    if reference.is_empty() {
        return Err(Refusal::ServiceImage { name: wanted.name.clone() });
    }
    let known = settings.services.iter().any(|one| one.name == reference);
    if !operators && !known && !allowed.matches(reference) {
        return Err(Refusal::ServiceNotAllowed {
            image: reference.to_owned(),
            allowed: allowed.written().join(", "),
        });
    }
    let platform = context.expand(&wanted.executor_opts.docker.platform);
    Ok(ImagePlan {
        reference: reference.to_owned(),
        platform: (!platform.is_empty()).then_some(platform),
        policies: policies(wanted, settings)?,
        deadline_seconds: settings.docker.pull_deadline.0.as_secs(),
        login: login::of(reference, context),
    })
}

/// The helper's image: the operator's choice, or GitLab's own of the runner's version.
pub(super) fn of_helper(context: &JobContext, settings: &Settings) -> Result<ImagePlan, Refusal> {
    let reference = match &settings.docker.helper_image {
        Some(reference) => reference.clone(),
        None => gitlabs_helper(context.variable("CI_RUNNER_VERSION").unwrap_or_default())?,
    };
    let login = login::of(&reference, context);
    // Its tag names its content; asking a registry before each job would buy nothing.
    Ok(ImagePlan {
        reference,
        platform: None,
        policies: vec![PullPolicy::IfNotPresent],
        deadline_seconds: settings.docker.pull_deadline.0.as_secs(),
        login,
    })
}

/// GitLab publishes one helper for each release and architecture, and `latest` for what is not released.
/// Jobs can override the variable, so only what parses as a version gets into the reference.
fn gitlabs_helper(version: &str) -> Result<String, Refusal> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let tag = match RunnerVersion::parse(version) {
        Some(version) if version.released => format!("v{version}"),
        Some(_) => "latest".to_owned(),
        None => return Err(Refusal::HelperImage { version: version.to_owned() }),
    };
    Ok(format!(
        "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:{architecture}-{tag}"
    ))
}

/// The job's policies where it names some and all are allowed, else the operator's.
fn policies(wanted: &JobImage, settings: &Settings) -> Result<Vec<PullPolicy>, Refusal> {
    if wanted.pull_policy.is_empty() {
        return Ok(settings.docker.pull_policy.clone());
    }
    let own = &settings.docker.pull_policy;
    let allowed: Vec<PullPolicy> =
        own.iter().chain(&settings.docker.allowed_pull_policies).copied().collect();
    let chosen = wanted.pull_policy.iter().map(|name| {
        allowed.iter().find(|policy| policy.to_string() == *name).copied().ok_or_else(|| {
            let allowed = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Refusal::PullPolicy { policy: name.clone(), allowed }
        })
    });
    chosen.collect()
}
