//! From what GitLab said and what the operator allows to what we are going to do. Pure.

use crate::job::{JobContext, JobResponse};
use crate::settings::{LimitOverrides, LimitSettings, Patterns, Settings, SocketMode};

use super::container::{Labels, LimitPlan};
use super::prune::{PrunePolicy, Repository};
use super::{CacheKey, HostFacts, JobKey, JobPlan, Refusal, image, notice, secret};

/// What a job's objects may outlive its timeout by: `after_script` and the last uploads.
const GRACE_SECONDS: u64 = 30 * 60;

/// The timeout where GitLab told none.
const TIMEOUT_SECONDS: u64 = 60 * 60;

/// Compiles a job's plan.
///
/// # Errors
/// A [`Refusal`] where the job asks for what this host does not allow.
pub fn compile(
    context: &JobContext,
    settings: &Settings,
    host: &HostFacts,
) -> Result<JobPlan, Refusal> {
    let job = &context.response;
    refuse_services(job)?;
    let rule = Rule::of(context, settings);
    let helper = needs_helper(context).then(|| image::of_helper(context, settings)).transpose()?;
    let image = image::of_job(context, settings, rule.allowed_images)?;
    let repository = Repository::of(context, &settings.prune);
    let secrets = secret::asked(context, settings)?;
    let mut notices = notice::all(context, rule.socket, &image, &repository);
    notices.extend(secret::hidden(context, &secrets));
    Ok(JobPlan {
        key: JobKey::of(job),
        project: job.job_info.project_full_path.clone(),
        labels: labels(context, host),
        entrypoint: entrypoint(job),
        user: Some(context.expand(&job.image.executor_opts.docker.user))
            .filter(|user| !user.is_empty()),
        helper_image: helper,
        project_dir: project_dir(context, settings)?,
        builds_dir: settings.builds_dir.clone(),
        cache_dir: settings.cache_dir.clone(),
        cache: (!job.cache.is_empty()).then(|| CacheKey::of(context)),
        agent_volume: host.agent_volume.clone(),
        file_variables_bytes: rule.limits.file_variables.0,
        limits: limits(&rule.limits),
        socket: rule.socket,
        socket_path: settings.docker.socket_path().to_owned(),
        secrets,
        notices,
        prune: PrunePolicy::of(context, &settings.prune, repository),
        image,
    })
}

/// What holds for this project: the first rule that matches, else the general settings.
struct Rule<'a> {
    socket: SocketMode,
    allowed_images: &'a Patterns,
    limits: LimitSettings,
}

impl<'a> Rule<'a> {
    fn of(context: &JobContext, settings: &'a Settings) -> Self {
        let project = &context.response.job_info.project_full_path;
        let protected = context.is_protected();
        let rule = settings.project.iter().find(|rule| rule.applies(project, protected));
        Self {
            socket: rule
                .and_then(|rule| rule.docker_socket)
                .unwrap_or(settings.docker.docker_socket),
            allowed_images: rule
                .and_then(|rule| rule.allowed_images.as_ref())
                .unwrap_or(&settings.docker.allowed_images),
            limits: settings
                .limits
                .with(rule.map_or(LimitOverrides::default(), |rule| rule.limits)),
        }
    }
}

fn refuse_services(job: &JobResponse) -> Result<(), Refusal> {
    if job.services.is_empty() {
        return Ok(());
    }
    let names = job.services.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
    Err(Refusal::Services { names })
}

/// A job that needs neither sources nor cache nor artifacts does without the image with git.
fn needs_helper(context: &JobContext) -> bool {
    let job = &context.response;
    let strategy = context.variable("GIT_STRATEGY").unwrap_or("fetch");
    let sources = !matches!(strategy, "none" | "empty");
    let downloads = job.dependencies.iter().any(|one| !one.artifacts_file.filename.is_empty());
    sources || downloads || !job.artifacts.is_empty() || !job.cache.is_empty()
}

/// `entrypoint: [""]` is a choice too; an absent or empty list is none.
fn entrypoint(job: &JobResponse) -> Option<Vec<String>> {
    let entrypoint = &job.image.entrypoint;
    (!entrypoint.is_empty()).then(|| entrypoint.clone())
}

fn project_dir(context: &JobContext, settings: &Settings) -> Result<String, Refusal> {
    let directory = context.variable("CI_PROJECT_DIR").unwrap_or_default();
    if directory.is_empty() {
        return Ok(String::new());
    }
    let below = directory.strip_prefix(&settings.builds_dir).unwrap_or_default();
    let plain = |segment: &str| !matches!(segment, "" | "." | "..");
    if below.starts_with('/') && below[1..].split('/').all(plain) {
        return Ok(directory.to_owned());
    }
    Err(Refusal::ProjectDirectory {
        directory: directory.to_owned(),
        builds_dir: settings.builds_dir.clone(),
    })
}

fn labels(context: &JobContext, host: &HostFacts) -> Labels {
    let job = &context.response;
    let timeout =
        if job.runner_info.timeout == 0 { TIMEOUT_SECONDS } else { job.runner_info.timeout };
    let mut labels = Labels::new();
    host.owner.write(&mut labels);
    for (name, value) in [
        ("job", JobKey::of(job).to_string()),
        ("job.name", job.job_info.name.clone()),
        ("project", job.job_info.project_full_path.clone()),
        ("pipeline", job.job_info.pipeline_id.to_string()),
        ("commit", job.git_info.sha.clone()),
        (
            "deadline",
            host.now_unix.saturating_add(timeout).saturating_add(GRACE_SECONDS).to_string(),
        ),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ] {
        labels.insert(format!("longshore.{name}"), value);
    }
    if let Some(runner) = context.trusted_variable("CI_RUNNER_ID") {
        labels.insert("longshore.runner".to_owned(), runner.to_owned());
    }
    labels
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a negative or huge number of CPUs saturates, and the engine refuses it"
)]
fn limits(limits: &LimitSettings) -> LimitPlan {
    LimitPlan {
        memory_bytes: limits.memory.map(|bytes| bytes.0),
        nano_cpus: limits.cpus.map(|cpus| (cpus * 1e9) as u64),
        pids: limits.pids,
    }
}
