//! A job's services: which ones, under which names, with which environment, and what makes each count as
//! ready. Pure; it knows no daemon, and an image's own ports and health check come from elsewhere.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::job::{JobContext, JobImage, JobVariable};
use crate::settings::{DefaultService, Settings};

use super::compile::limits;
use super::container::{ContainerNetwork, ContainerPlan, LimitPlan, OwnProcess};
use super::{ImagePlan, JobPlan, Refusal, Rights, alias, image};

mod env;

pub use env::ServiceEnv;

/// GitLab's variable for the one port to be looked at.
const TCP_PORT: &str = "HEALTHCHECK_TCP_PORT";

/// Ours for a page to be fetched: `PORT/PATH`.
const HTTP: &str = "LONGSHORE_HTTP_CHECK";

/// Ours for a service without which the job makes no sense.
const CRITICAL: &str = "LONGSHORE_CRITICAL";

/// One service of a job.
#[derive(Debug, Clone, Serialize)]
pub struct ServicePlan {
    /// Its image.
    pub image: ImagePlan,
    /// The names by which the job finds it; those that an earlier service has are left out.
    pub aliases: Vec<String>,
    /// Instead of the image's entrypoint; empty for the image's own.
    pub entrypoint: Vec<String>,
    /// Instead of the image's command; empty for the image's own.
    pub command: Vec<String>,
    /// The user that the job sets instead of the image's own.
    pub user: Option<String>,
    /// Its environment.
    pub env: ServiceEnv,
    /// What it is asked to find it ready.
    pub check: Check,
    /// Whether the job fails where it dies or does not get ready.
    pub critical: bool,
    /// Its limits.
    pub limits: LimitPlan,
    /// What it may do to its host.
    pub rights: Rights,
}

impl ServicePlan {
    /// One line for each thing that is less safe than it could be.
    pub(super) fn unsafe_in_force(&self) -> Vec<String> {
        let lines = self.rights.unsafe_in_force().into_iter();
        let whose = format!("the service {}", self.image.reference);
        lines.map(|line| line.replacen("this job", &whose, 1)).collect()
    }
}

/// What a service is asked to find it ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The image's own health check, else a connection to one of the ports it exposes.
    Image,
    /// A connection to this TCP port.
    Tcp(u16),
    /// A GET that is answered with a status below 400.
    Http {
        /// The port.
        port: u16,
        /// The path, with its slash.
        path: String,
    },
}

impl Check {
    /// Reads `PORT`, `PORT/PATH` or `:PORT/PATH`.
    fn http(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(':');
        let (port, path) = text.split_once('/').unwrap_or((text, ""));
        let port = port.parse().ok().filter(|port| *port > 0)?;
        Some(Self::Http { port, path: format!("/{path}") })
    }
}

/// All services of a job: the operator's first, as with GitLab's executor, and then its own. `settings`
/// are those that hold for this job.
pub(super) fn all(context: &JobContext, settings: &Settings) -> Result<Vec<ServicePlan>, Refusal> {
    let terms = Terms { context, settings };
    let project = &context.response.job_info.project_full_path;
    let defaults = settings.services.iter().filter(|one| one.projects.matches(project));
    let mut all = Vec::new();
    // `build` is the job's own name on its network.
    let mut taken = vec!["build".to_owned()];
    for wanted in defaults.map(of_operator) {
        all.push(terms.service(&wanted, true, &mut taken)?);
    }
    for wanted in &context.response.services {
        all.push(terms.service(wanted, false, &mut taken)?);
    }
    Ok(all)
}

/// What holds for all services of a job.
struct Terms<'a> {
    context: &'a JobContext,
    settings: &'a Settings,
}

fn of_operator(service: &DefaultService) -> JobImage {
    let variable = |(key, value): (&String, &String)| JobVariable {
        key: key.clone(),
        value: value.clone(),
        masked: false,
        file: false,
        public: true,
        raw: false,
    };
    JobImage {
        name: service.name.clone(),
        alias: service.alias.join(","),
        entrypoint: service.entrypoint.clone(),
        command: service.command.clone(),
        variables: service.variables.iter().map(variable).collect(),
        ..JobImage::default()
    }
}

impl Terms<'_> {
    fn service(
        &self,
        wanted: &JobImage,
        operators: bool,
        taken: &mut Vec<String>,
    ) -> Result<ServicePlan, Refusal> {
        let image = image::of_service(self.context, self.settings, wanted, operators)?;
        let mut aliases = alias::all(&image.reference, &self.context.expand(&wanted.alias));
        aliases.retain(|alias| !taken.contains(alias));
        taken.extend(aliases.iter().cloned());
        let env = ServiceEnv::of(self.context, &wanted.variables);
        let docker = &wanted.executor_opts.docker;
        let user = Some(self.context.expand(&docker.user)).filter(|user| !user.is_empty());
        let rule =
            self.settings.service_rule.iter().find(|rule| rule.images.matches(&image.reference));
        let critical = match env.get(CRITICAL) {
            Some(said) => said == "true" || said == "1",
            None => rule.is_some_and(|rule| rule.critical),
        };
        Ok(ServicePlan {
            check: check(&env, rule.and_then(|rule| rule.http.as_deref())),
            entrypoint: wanted.entrypoint.clone(),
            command: wanted.command.clone(),
            limits: limits(&self.settings.service_container.limits),
            rights: Rights::of(&self.settings.service_container.isolation, &image.reference),
            image,
            aliases,
            user,
            env,
            critical,
        })
    }
}

/// The job's own word counts before the operator's rule.
fn check(env: &ServiceEnv, rule: Option<&str>) -> Check {
    let named = |name: &str| env.get(name).filter(|text| !text.trim().is_empty());
    let http = named(HTTP).and_then(|text| Check::http(&text));
    let tcp = named(TCP_PORT).and_then(|text| text.trim().parse().ok()).map(Check::Tcp);
    http.or(tcp).or_else(|| rule.and_then(Check::http)).unwrap_or(Check::Image)
}

impl JobPlan {
    /// The name of a service's container, counted from 0.
    pub fn service_name(&self, index: usize) -> String {
        self.key.name(&super::removal::service(index))
    }

    /// The containers of the services of a job whose image has this `USER`, on this network.
    pub fn service_containers(&self, network: &str, image_user: &str) -> Vec<ContainerPlan> {
        let user = self.user(image_user);
        let shaped = |(index, service)| ContainerPlan {
            mounts: self.volume_mounts(&user).collect(),
            ..self.service_container(index, service, network)
        };
        self.services.iter().enumerate().map(shaped).collect()
    }

    fn service_container(
        &self,
        index: usize,
        service: &ServicePlan,
        network: &str,
    ) -> ContainerPlan {
        ContainerPlan {
            name: self.service_name(index),
            image: service.image.reference.clone(),
            platform: service.image.platform.clone(),
            entrypoint: service.entrypoint.clone(),
            user: service.user.clone().unwrap_or_default(),
            env: BTreeMap::new(),
            hostname: None,
            network: ContainerNetwork::Named {
                name: network.to_owned(),
                aliases: service.aliases.clone(),
            },
            mounts: Vec::new(),
            limits: service.limits.clone(),
            isolation: service.rights.isolation.clone(),
            resolver: self.network.resolver.clone(),
            // Servers begin as root, whatever their image says, and become somebody else.
            capabilities: service.rights.capabilities(true),
            security: service.rights.security.clone(),
            labels: self.labelled(&super::removal::service(index)),
            own_process: Some(OwnProcess {
                command: service.command.clone(),
                env: service.env.clone(),
                log_bytes: self.service_log_bytes,
            }),
        }
    }
}
