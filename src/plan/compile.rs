//! From what GitLab said and what the operator allows to what we are going to do. Pure.

use crate::job::{JobContext, JobResponse};
use crate::settings::{ByteSize, LimitSettings, Settings, SocketMode, Ulimit};

use super::container::{Labels, LimitPlan};
use super::prune::{PrunePolicy, Repository};
use super::{
    BrokerPlan, CacheKey, HostFacts, JobKey, JobPlan, NetworkPlan, Refusal, Rights, ServicePlan,
    VolumePlan, image, notice, secret, service,
};

/// What a job's objects may outlive its timeout by: `after_script` and the last uploads.
const GRACE_SECONDS: u64 = 25 * 60;

/// What `after_script` may take where the job does not say. Source: GitLab, `RUNNER_AFTER_SCRIPT_TIMEOUT`.
const AFTER_SCRIPT_SECONDS: u64 = 5 * 60;

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
    let project = &job.job_info.project_full_path;
    let settings = &settings.for_job(project, context.is_protected(), host.capacity);
    let helper = needs_helper(context).then(|| image::of_helper(context, settings)).transpose()?;
    let image = image::of_job(context, settings)?;
    let rights = Rights::of(&settings.isolation, &image.reference);
    let helper_reference = helper.as_ref().map_or("", |helper| helper.reference.as_str());
    let helper_rights = Rights::of(&settings.helper.isolation, helper_reference);
    let network = NetworkPlan::of(context, &settings.network)?;
    let repository = Repository::of(context, &settings.prune);
    let prune = PrunePolicy::of(context, &settings.prune, repository.clone());
    let secrets = secret::asked(context, settings)?;
    let mut notices = notice::all(context, settings, (&image, &rights, &network));
    notices.extend(repository.problem());
    notices.extend(secret::hidden(context, &secrets));
    let services = service::all(context, settings)?;
    if !services.is_empty() {
        network.check_names()?;
    }
    let images = services.iter().map(|service| &service.image);
    notices.extend(notice::floating([&image].into_iter().chain(images)));
    notices.extend(services.iter().flat_map(ServicePlan::unsafe_in_force));
    let shared = CacheKey::of(context);
    let volumes = settings.docker.volumes.iter().map(|one| VolumePlan::of(one, &shared));
    let volumes: Vec<VolumePlan> = volumes.collect();
    notices.extend(volumes.iter().filter_map(VolumePlan::unsafe_in_force));
    Ok(JobPlan {
        key: JobKey::of(job),
        project: project.clone(),
        labels: labels(context, settings, host),
        shell: settings.shell,
        entrypoint: entrypoint(job),
        user: image::user(context, settings)?,
        helper_image: helper,
        project_dir: project_dir(context, settings)?,
        builds_dir: settings.builds_dir.clone(),
        cache_dir: settings.cache_dir.clone(),
        cache: (!job.cache.is_empty()).then_some(shared),
        volumes,
        agent_volume: host.agent_volume.clone(),
        file_variables_bytes: settings.limits.file_variables().0,
        limits: limits(&settings.limits),
        helper_limits: limits(&settings.helper.limits),
        services,
        services_timeout_seconds: settings.docker.wait_for_services_timeout.0.as_secs(),
        service_log_bytes: settings.docker.service_log.0,
        rights,
        helper_rights,
        network,
        socket: settings.docker.docker_socket,
        broker: (settings.docker.docker_socket == SocketMode::Brokered)
            .then(|| BrokerPlan::of(context, settings)),
        socket_path: settings.docker.socket_path().to_owned(),
        secrets,
        notices,
        prune_registry: image::of_repository(prune.as_ref(), context, settings),
        prune,
        image,
    })
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

/// The job's own word, in the runner's format; what cannot be read the runner passes over too.
fn after_script_seconds(context: &JobContext) -> u64 {
    let said = context.variable("RUNNER_AFTER_SCRIPT_TIMEOUT");
    let said = said.and_then(|text| humantime::parse_duration(text).ok());
    said.map_or(AFTER_SCRIPT_SECONDS, |duration| duration.as_secs())
}

fn labels(context: &JobContext, settings: &Settings, host: &HostFacts) -> Labels {
    let job = &context.response;
    let timeout =
        if job.runner_info.timeout == 0 { TIMEOUT_SECONDS } else { job.runner_info.timeout };
    let own = settings.docker.labels.iter();
    let mut labels: Labels =
        own.map(|(name, value)| (name.clone(), context.expand(value))).collect();
    host.owner.write(&mut labels);
    let after_script = after_script_seconds(context).min(timeout);
    host.now.later(timeout).later(after_script).later(GRACE_SECONDS).write_deadline(&mut labels);
    for (name, value) in [
        ("job", JobKey::of(job).to_string()),
        ("job.name", job.job_info.name.clone()),
        ("project", job.job_info.project_full_path.clone()),
        ("pipeline", job.job_info.pipeline_id.to_string()),
        ("commit", job.git_info.sha.clone()),
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
pub(super) fn limits(limits: &LimitSettings) -> LimitPlan {
    let memory_bytes = limits.memory.and_then(|memory| memory.amount()).map(|bytes| bytes.0);
    let bytes = |size: Option<ByteSize>| size.map(|size| size.0);
    let ulimit = |(name, limit): (&String, &Ulimit)| (name.clone(), limit.soft, limit.hard);
    LimitPlan {
        memory_bytes,
        // Equal to memory means no swap at all.
        memory_swap_bytes: bytes(limits.memory_swap).or(memory_bytes),
        memory_reservation_bytes: bytes(limits.memory_reservation),
        nano_cpus: limits.cpus.and_then(|cpus| cpus.amount()).map(|cpus| (cpus * 1e9) as u64),
        cpuset_cpus: limits.cpuset_cpus.clone(),
        cpuset_mems: limits.cpuset_mems.clone(),
        cpu_shares: limits.cpu_shares,
        pids: Some(limits.pids()),
        shm_bytes: bytes(limits.shm_size),
        ulimits: limits.ulimits.iter().flatten().map(ulimit).collect(),
        cgroup_parent: limits.cgroup_parent.clone(),
    }
}
