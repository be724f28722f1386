//! Creates and starts the containers of a job side by side: the job container, which owns the network
//! namespace, and the helper, which joins it and so cannot start before it.

use crate::engine::{ContainerSummary, Engine, EngineError};
use crate::plan::container::{ContainerNetwork, ContainerPlan, Labels};

use super::call::Call;
use super::error::CallError;
use super::images::Images;
use super::pull::Ready;
use super::services::{self, is_missing_network};
use super::slot::{self, SlotLock};
use super::{agent_volume, hint, removal, seccomp};

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
    let (job, network) = create_job(call, engine, &images.job).await?;
    let mut helper = call.plan.helper_container(&images.job.facts.user);
    if let (Some(helper), Some(image)) = (&mut helper, &images.helper) {
        helper.image.clone_from(&image.reference);
        seccomp::inline(helper)?;
    }
    let mut services = call.plan.service_containers(&network);
    for (service, image) in services.iter_mut().zip(&images.services) {
        service.image.clone_from(&image.reference);
        seccomp::inline(service)?;
    }
    let (started, created, launched) = tokio::join!(
        start_job(call, engine, &job, &network),
        create(engine, helper.as_ref()),
        services::launch(engine, &services),
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
) -> Result<(ContainerPlan, String), CallError> {
    let run_dir = &call.settings.run_dir;
    let lock = SlotLock::take(run_dir).map_err(|error| {
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
    let network = match &job.network {
        ContainerNetwork::Named { name, .. } | ContainerNetwork::Join(name) => name.clone(),
        ContainerNetwork::Slot { .. } => String::new(),
    };
    engine.create(&job).await?;
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

async fn create<E: Engine>(engine: &E, plan: Option<&ContainerPlan>) -> Result<(), EngineError> {
    match plan {
        Some(plan) => engine.create(plan).await.map(drop),
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
            engine.create_network(network, &network_labels()).await.map_err(no_network)?;
            Ok(start_filled(call, engine, job).await?)
        }
        other => Ok(other?),
    }
}

/// An engine with its usual settings has addresses for about thirty networks.
fn no_network(error: EngineError) -> CallError {
    if error.cause.contains("address pool") {
        return CallError::system(format!("{error}{}", hint::NO_ADDRESSES));
    }
    error.into()
}

/// A slot belongs to the host, not to a job; `reap` removes it when idle.
fn network_labels() -> Labels {
    Labels::from([("longshore.kind".to_owned(), "slot".to_owned())])
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

/// Starts a container; where the agent volume is still empty, fills it first.
async fn start_filled<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    container: &ContainerPlan,
) -> Result<(), StartError> {
    match engine.start(&container.name).await {
        Err(error) if agent_volume::is_missing(&error) => {
            agent_volume::fill(engine, &call.world.executable, &call.plan, &container.image)
                .await
                .map_err(StartError::Call)?;
            engine.start(&container.name).await.map_err(StartError::Engine)
        }
        other => other.map_err(StartError::Engine),
    }
}

#[cfg(test)]
mod tests {
    use super::no_network;
    use crate::engine::{EngineError, Fault};

    fn failed(cause: &str) -> EngineError {
        let (verb, object) = ("create network", "longshore-slot-31".to_owned());
        EngineError {
            verb,
            object,
            fault: Fault::NotFound,
            cause: cause.to_owned(),
            retry_after: None,
        }
    }

    #[test]
    fn who_is_out_of_subnets_is_told_how_to_have_more() {
        let words = "could not find an available, non-overlapping IPv4 address pool among the defaults \
                     to assign to the network";
        let told = no_network(failed(words)).to_string();
        assert!(told.contains("default-address-pools"), "{told}");
        let newer = no_network(failed("all predefined address pools have been fully subnetted"));
        assert!(newer.to_string().contains("default-address-pools"), "{newer}");
        let other = no_network(failed("plugin \"x\" not found")).to_string();
        assert!(!other.contains("default-address-pools"), "{other}");
    }
}
