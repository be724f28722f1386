//! Creates and starts the containers of a job side by side: the job container, which owns the network
//! namespace, and the helper, which joins it and so cannot start before it.

use crate::engine::{ContainerSummary, Engine, EngineError};
use crate::plan::container::{ContainerNetwork, ContainerPlan};

use super::call::Call;
use super::creating::Creating;
use super::error::CallError;
use super::images::Images;
use super::pull::Ready;
use super::services::{self, is_missing_network};
use super::slot::{self, SlotLock};
use super::{admission, agent_volume, removal, seccomp, slot_network};

/// What `prepare` made.
#[derive(Debug)]
pub struct Started {
    /// The slot network that the job stands on.
    pub network: String,
}

/// Creates and starts the job's containers.
///
/// # Errors
/// When the engine refuses; what was made until then is for the caller to remove.
pub async fn start<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    images: &Images,
) -> Result<Started, CallError> {
    let creating = Creating::begin(call).await?;
    let started = make(call, engine, images, &creating).await;
    creating.end();
    started
}

async fn make<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    images: &Images,
    creating: &Creating,
) -> Result<Started, CallError> {
    let (job, network) = create_job(call, engine, &images.job, creating).await?;
    let mut helper = call.plan.helper_container(&images.job.facts.user);
    if let (Some(helper), Some(image)) = (&mut helper, &images.helper) {
        helper.image.clone_from(&image.reference);
        seccomp::inline(helper)?;
    }
    let mut services = call.plan.service_containers(&network, &images.job.facts.user);
    for (service, image) in services.iter_mut().zip(&images.services) {
        service.image.clone_from(&image.reference);
        seccomp::inline(service)?;
    }
    let (started, created, launched) = tokio::join!(
        start_job(call, engine, &job, &network),
        create(engine, helper.as_ref(), creating),
        services::launch(engine, &services, creating),
    );
    started?;
    created?;
    launched.settle(engine, &network).await?;
    if let Some(helper) = &helper {
        start_filled(call, engine, helper).await?;
    }
    Ok(Started { network })
}

/// Chooses a slot, where the job has no other network, and creates the job container on it, under the host's lock on slots.
async fn create_job<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    image: &Ready,
    creating: &Creating,
) -> Result<(ContainerPlan, String), CallError> {
    let run_dir = &call.settings.run_dir;
    let lock = SlotLock::take(run_dir, "slots.lock").map_err(|error| {
        CallError::system(format!(
            "failed to lock the slots in {}: {error}; set run_dir to a directory of this user",
            run_dir.display()
        ))
    })?;
    let containers = engine.containers(None).await?;
    remove_earlier_try(call, engine, &containers).await?;
    let mut job = call.plan.job_container(&image.facts.user);
    job.image.clone_from(&image.reference);
    seccomp::inline(&mut job)?;
    if let ContainerNetwork::Slot { aliases } = job.network {
        let name = slot::free(&call.settings.docker.slot_prefix, &containers);
        job.network = ContainerNetwork::Named { name, aliases };
    }
    admission::mark(call, &mut job);
    let network = match &job.network {
        ContainerNetwork::Named { name, .. } | ContainerNetwork::Join(name) => name.clone(),
        ContainerNetwork::Slot { .. } => String::new(),
    };
    creating.create(engine, &job).await?;
    drop(lock);
    Ok((job, network))
}

/// A `prepare` that was killed half-way leaves containers under our very names.
async fn remove_earlier_try<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    containers: &[ContainerSummary],
) -> Result<(), CallError> {
    let plan = call.plan.removal();
    if containers.iter().any(|one| plan.containers.contains(&one.name)) {
        let left = removal::remove(engine, &plan).await;
        if let Some(first) = left.into_iter().next() {
            return Err(CallError::system(format!(
                "an earlier try of this job left something that cannot be removed: {first}"
            )));
        }
    }
    Ok(())
}

async fn create<E: Engine>(
    engine: &E,
    plan: Option<&ContainerPlan>,
    creating: &Creating,
) -> Result<(), EngineError> {
    match plan {
        Some(plan) => creating.create(engine, plan).await.map(drop),
        None => Ok(()),
    }
}

/// Starts the owner of the network; where its slot's network does not exist yet, makes it first.
async fn start_job<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    job: &ContainerPlan,
    network: &str,
) -> Result<(), CallError> {
    match start_filled(call, engine, job).await {
        // A network that the operator named is theirs to make.
        Err(StartError::Engine(error))
            if call.plan.network.named.is_none() && is_missing_network(&error, network) =>
        {
            slot_network::make(call, engine, network).await?;
            Ok(start_filled(call, engine, job).await?)
        }
        other => Ok(other?),
    }
}

/// Why a container did not start.
enum StartError {
    Engine(EngineError),
    Call(CallError),
}

impl From<StartError> for CallError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Engine(error) => error.into(),
            StartError::Call(error) => error,
        }
    }
}

/// How often the agent volume is filled for one container: while another fills it, its link is away for a moment.
const FILLS: usize = 3;

/// Starts a container; where the agent volume is still empty, fills it first.
async fn start_filled<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    container: &ContainerPlan,
) -> Result<(), StartError> {
    let mut started = engine.start(&container.name).await;
    if !is_unfilled(&started) {
        return started.map_err(StartError::Engine);
    }
    let turn = agent_volume::turn(call).await.map_err(StartError::Call)?;
    if turn.has_waited {
        started = engine.start(&container.name).await;
    }
    for _ in 0..FILLS {
        if !is_unfilled(&started) {
            break;
        }
        agent_volume::fill(engine, call, &container.image).await.map_err(StartError::Call)?;
        started = engine.start(&container.name).await;
    }
    started.map_err(StartError::Engine)
}

fn is_unfilled(started: &Result<(), EngineError>) -> bool {
    started.as_ref().is_err_and(agent_volume::is_missing)
}
