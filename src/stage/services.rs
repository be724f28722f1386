//! Creates and starts a job's services beside its own containers. It does not wait for them to be ready.

use futures_util::future::join_all;

use crate::engine::{Engine, EngineError, Fault};
use crate::plan::container::ContainerPlan;

use super::creating::Creating;
use super::error::CallError;

/// Services that were created, with what became of each one's start.
pub struct Launched<'a> {
    services: &'a [ContainerPlan],
    started: Vec<Result<(), EngineError>>,
}

/// Creates and starts all of them side by side.
pub async fn launch<'a, E: Engine>(
    engine: &E,
    services: &'a [ContainerPlan],
    creating: &Creating,
) -> Launched<'a> {
    let started = join_all(services.iter().map(|service| async {
        creating.create(engine, service).await?;
        engine.start(&service.name).await
    }));
    Launched { services, started: started.await }
}

impl Launched<'_> {
    /// Starts those again whose network was not there yet; it is now that the job's container runs.
    ///
    /// # Errors
    /// The job's own fault where a service has no such program; else ours.
    pub async fn settle<E: Engine>(self, engine: &E, network: &str) -> Result<(), CallError> {
        let settled = self.services.iter().zip(self.started).map(|(service, started)| async {
            match started {
                Err(error) if is_missing_network(&error, network) => {
                    engine.start(&service.name).await.map_err(|error| failure(service, error))
                }
                other => other.map_err(|error| failure(service, error)),
            }
        });
        join_all(settled).await.into_iter().collect()
    }
}

/// Whether a container did not start because its slot's network does not exist.
pub fn is_missing_network(error: &EngineError, network: &str) -> bool {
    error.fault == Fault::NotFound && error.cause.contains(network)
}

/// What the daemon calls a bad request is an entrypoint or command that the image does not have.
fn failure(service: &ContainerPlan, error: EngineError) -> CallError {
    if error.verb == "start container" && error.fault == Fault::Refused {
        return CallError::job(format!(
            "the service {} does not start: {}\n  look at its `entrypoint:` and `command:`",
            service.image, error.cause
        ));
    }
    error.into()
}
