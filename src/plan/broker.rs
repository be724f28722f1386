//! What a job may do through its brokered Docker socket: the operator's settings with the job's own
//! values in them. Pure.

use serde::Serialize;

use crate::job::{JobContext, expand};
pub use crate::settings::Patterns;
use crate::settings::{PushRule, Settings};

use super::prune::Repository;

/// The rules in force for one job.
#[derive(Debug, Clone, Serialize)]
pub struct BrokerPlan {
    /// `host/path` of the project's own repository, where the job may tag, and push by `push_tags`.
    /// Repositories below it are the project's too. `None` where nobody can tell which it is.
    pub repository: Option<String>,
    /// Images it may pull, run and build from besides, as globs.
    pub allowed_images: Patterns,
    /// Images on this host that it may use without their registry being asked.
    pub shared_images: Patterns,
    /// Tags that this job may push.
    pub push_tags: Patterns,
    /// Whether ports can be published on the job's own network.
    pub publish: bool,
    /// Secrets that may stand in build arguments: name of the secret, repository of the image.
    pub bake: Vec<(String, String)>,
    /// How much of everything.
    pub quota: Quota,
}

const LOCAL: &str = "longshore.invalid/";

/// Begins the references of images that are one job's alone. No registry is called so: such a name cannot be
/// pulled or pushed.
pub fn local_images(job: &str) -> String {
    format!("{LOCAL}{job}/")
}

/// The job whose alone an image is by this name; its key is GitLab's number and hex digits.
pub fn job_of_local(image: &str) -> Option<&str> {
    let (job, name) = image.strip_prefix(LOCAL)?.split_once('/')?;
    let (id, hash) = job.split_once('-')?;
    let is_key = id.parse::<u64>().is_ok()
        && !hash.is_empty()
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_key && !name.is_empty()).then_some(job)
}

/// How much a job may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// Containers.
    pub containers: usize,
    /// Networks.
    pub networks: usize,
    /// Volumes.
    pub volumes: usize,
    /// Exec instances of a stage.
    pub execs: usize,
    /// Bytes of one build context or archive.
    pub upload_bytes: u64,
}

const CONTAINERS: u32 = 64;
const NETWORKS: u32 = 16;
const VOLUMES: u32 = 32;
const EXECS: u32 = 1024;
const UPLOAD_BYTES: u64 = 2 << 30;

impl BrokerPlan {
    /// The rules for a job, from the settings that hold for it.
    pub fn of(context: &JobContext, settings: &Settings) -> Self {
        let broker = &settings.broker;
        let count = |own: Option<u32>, default: u32| {
            usize::try_from(own.unwrap_or(default)).unwrap_or(usize::MAX)
        };
        let allowed = broker.allowed_images.as_ref().unwrap_or(&settings.docker.allowed_images);
        Self {
            repository: Repository::of_project(context, broker.repository.as_deref()).known(),
            allowed_images: allowed.clone(),
            shared_images: settings.docker.shared_images.clone(),
            push_tags: push_tags(context, broker.push.as_deref()),
            publish: broker.publish.unwrap_or(true),
            bake: settings
                .bake
                .iter()
                .map(|rule| (rule.secret.clone(), rule.repository.clone()))
                .collect(),
            quota: Quota {
                containers: count(broker.max_containers, CONTAINERS),
                networks: count(broker.max_networks, NETWORKS),
                volumes: count(broker.max_volumes, VOLUMES),
                execs: count(broker.max_execs, EXECS),
                upload_bytes: broker.max_upload.map_or(UPLOAD_BYTES, |size| size.0),
            },
        }
    }
}

/// By default a build pushes `test`, and a delivery the commit's tags and `latest`.
fn push_tags(context: &JobContext, rules: Option<&[PushRule]>) -> Patterns {
    let stage = context.response.job_info.stage.as_str();
    let tags: Vec<String> = match rules {
        None => match stage {
            "build" => vec!["test".to_owned()],
            "delivery" => {
                ["$CI_COMMIT_SHA", "$CI_COMMIT_SHORT_SHA", "latest"].map(str::to_owned).to_vec()
            }
            _ => Vec::new(),
        },
        Some(rules) => {
            let rule = rules.iter().find(|rule| {
                rule.stages.matches(stage) && (context.is_protected() || !rule.protected_only)
            });
            rule.map(|rule| rule.tags.clone()).unwrap_or_default()
        }
    };
    let commit = &context.response.git_info.sha;
    let value = |name: &str| match name {
        "CI_COMMIT_SHA" => Some(commit.clone()),
        "CI_COMMIT_SHORT_SHA" => commit.get(..8).map(str::to_owned),
        "CI_PIPELINE_ID" => Some(context.response.job_info.pipeline_id.to_string()),
        "CI_COMMIT_REF_SLUG" => context.trusted_variable("CI_COMMIT_REF_SLUG").map(globset::escape),
        _ => None,
    };
    let expanded = tags.iter().map(|tag| expand::expand(tag, value));
    // A pattern that is no glob allows nothing: it would be a wish that cannot be known.
    Patterns::new(expanded.filter(|tag| !tag.is_empty()).collect())
        .unwrap_or_else(|_| Patterns::nothing())
}
