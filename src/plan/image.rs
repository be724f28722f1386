//! Which image a job gets, and how it comes to this host.

use serde::Serialize;

use crate::job::{JobContext, JobImage, RunnerVersion};
use crate::settings::{PullPolicy, Settings, Shell};

use super::Refusal;
use super::login::{self, LoginPlan};
use super::prune::PrunePolicy;

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
    /// Where it is looked for, in order: mirrors, then where its name says. Never empty.
    pub sources: Vec<ImageSource>,
    /// Whether one that is on the host already may only be used by who could pull it.
    pub check_cached: bool,
}

/// One place that an image may come from.
#[derive(Debug, Clone, Serialize)]
pub struct ImageSource {
    /// Its name there.
    pub reference: String,
    /// Credentials; no password is printed.
    pub login: LoginPlan,
}

impl ImageSource {
    /// An image where its name says, with the job's login for it.
    pub fn of(reference: String, context: &JobContext, settings: &Settings) -> Self {
        Self { login: LoginPlan::of(&reference, context, settings), reference }
    }
}

/// What is particular to one image of a job.
pub(super) struct Wanted<'a> {
    pub(super) reference: &'a str,
    pub(super) platform: Option<String>,
    pub(super) policies: Vec<PullPolicy>,
    /// Whether the operator named it, not the job.
    pub(super) operators: bool,
}

impl ImagePlan {
    /// Whether getting this one gets the other as well.
    pub fn is_same(&self, other: &Self) -> bool {
        let facts = |one: &Self| (one.platform.clone(), one.policies.clone(), one.check_cached);
        self.reference == other.reference && facts(self) == facts(other)
    }

    pub(super) fn of(wanted: Wanted<'_>, context: &JobContext, settings: &Settings) -> Self {
        let reference = wanted.reference.to_owned();
        let source = |reference| ImageSource::of(reference, context, settings);
        let mirrors = mirrors(&reference, settings).into_iter().map(source);
        let sources = mirrors.chain([source(reference.clone())]).collect();
        let shared = wanted.operators || settings.docker.shared_images.matches(&reference);
        Self {
            reference,
            platform: wanted.platform,
            policies: wanted.policies,
            deadline_seconds: settings.docker.pull_deadline.0.as_secs(),
            sources,
            check_cached: !shared,
        }
    }
}

/// The repository of a delivery, where its tags go from the registry too.
pub(super) fn of_repository(
    prune: Option<&PrunePolicy>,
    context: &JobContext,
    settings: &Settings,
) -> Option<ImageSource> {
    let reference = prune.filter(|_| settings.prune.registry)?.repository.clone();
    Some(ImageSource { login: LoginPlan::of(&reference, context, settings), reference })
}

/// The image's names at the mirrors of its registry.
pub(super) fn mirrors(reference: &str, settings: &Settings) -> Vec<String> {
    let (name, version) = login::split(reference);
    let rules = settings.docker.mirror.iter().filter(|rule| login::covers(&rule.registry, &name));
    rules
        .filter_map(|rule| {
            let rest = name.strip_prefix(login::prefix(&rule.registry))?;
            Some(format!("{}{rest}{version}", rule.mirror))
        })
        .collect()
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
    if platform.to_lowercase().starts_with("windows") {
        return Err(Refusal::Windows { platform });
    }
    let wanted = Wanted {
        reference,
        platform: (!platform.is_empty()).then_some(platform),
        policies: policies(wanted, settings)?,
        operators: Some(reference) == default,
    };
    Ok(ImagePlan::of(wanted, context, settings))
}

/// Whom the job's scripts run as: the operator's word, else the job's, else the image's (`None`).
pub(super) fn user(context: &JobContext, settings: &Settings) -> Result<Option<String>, Refusal> {
    if let Some(user) = &settings.docker.user {
        return Ok(Some(user.clone()));
    }
    let user = context.expand(&context.response.image.executor_opts.docker.user);
    if user.is_empty() || settings.docker.allowed_users.matches(&user) {
        return Ok(Some(user).filter(|user| !user.is_empty()));
    }
    let allowed = settings.docker.allowed_users.written().join(", ");
    Err(Refusal::User { user, allowed })
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
    let wanted = Wanted {
        reference,
        platform: (!platform.is_empty()).then_some(platform),
        policies: policies(wanted, settings)?,
        operators: operators || known,
    };
    Ok(ImagePlan::of(wanted, context, settings))
}

/// The helper's image: the operator's choice, or GitLab's own of the runner's version.
pub(super) fn of_helper(context: &JobContext, settings: &Settings) -> Result<ImagePlan, Refusal> {
    let own = settings.docker.helper_image.clone();
    let reference = own.map_or_else(|| gitlabs_helper(context, settings.shell), Ok)?;
    // Its tag names its content; asking a registry before each job would buy nothing.
    let policies = vec![PullPolicy::IfNotPresent];
    let wanted = Wanted { reference: &reference, platform: None, policies, operators: true };
    Ok(ImagePlan::of(wanted, context, settings))
}

/// GitLab publishes one helper for each release and architecture, and `latest` for what is not released.
/// Jobs can override the variable, so only what parses as a version gets into the reference.
fn gitlabs_helper(context: &JobContext, shell: Shell) -> Result<String, Refusal> {
    let version = context.variable("CI_RUNNER_VERSION").unwrap_or_default();
    // The one with PowerShell is another image.
    let flavour = if shell == Shell::Pwsh { "-pwsh" } else { "" };
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let tag = match RunnerVersion::parse(version) {
        Some(version) if version.released => format!("v{version}"),
        Some(_) => "latest".to_owned(),
        None => return Err(Refusal::HelperImage { version: version.to_owned() }),
    };
    Ok(format!(
        "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:{architecture}-{tag}{flavour}"
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
