//! Removes what a job made. Idempotent; "already gone" is success; it collects what cannot be removed
//! and goes on.

use futures_util::future::join_all;

use crate::engine::{Engine, EngineError, Removed};
use crate::plan::removal::RemovalPlan;

/// Removes containers side by side, then what they stood on; answers what is left, and why. What the job made
/// through its Docker socket has names of the job's choice, and is found by its labels.
pub async fn remove<E: Engine>(engine: &E, plan: &RemovalPlan) -> Vec<EngineError> {
    let of_plan = join_all(plan.containers.iter().map(|name| engine.remove_container(name)));
    let (of_plan, of_socket) = tokio::join!(of_plan, containers_of_socket(engine, plan));
    let networks = networks_of_socket(engine, plan).await;
    let of_socket =
        of_socket.into_iter().chain(networks).chain(volumes_of_socket(engine, plan).await);
    let volumes = join_all(plan.volumes.iter().map(|name| engine.remove_volume(name))).await;
    of_plan.into_iter().chain(of_socket).chain(volumes).filter_map(Result::err).collect()
}

type Results = Vec<Result<Removed, EngineError>>;

async fn containers_of_socket<E: Engine>(engine: &E, plan: &RemovalPlan) -> Results {
    let found = match engine.containers(Some(&plan.label())).await {
        Ok(found) => found,
        Err(error) => return vec![Err(error)],
    };
    // A container inherits the labels of its image, so the name has to fit too.
    let own = found.iter().filter(|one| plan.is_of_socket(&one.name));
    join_all(own.map(|one| engine.remove_container(&one.name))).await
}

async fn networks_of_socket<E: Engine>(engine: &E, plan: &RemovalPlan) -> Results {
    let found = match engine.networks(Some(&plan.label())).await {
        Ok(found) => found,
        Err(error) => return vec![Err(error)],
    };
    let own = found.iter().filter(|one| plan.is_of_socket(&one.name));
    join_all(own.map(|one| engine.remove_network(&one.name))).await
}

async fn volumes_of_socket<E: Engine>(engine: &E, plan: &RemovalPlan) -> Results {
    let found = match engine.volumes(&plan.label()).await {
        Ok(found) => found,
        Err(error) => return vec![Err(error)],
    };
    let own = found.iter().filter(|one| plan.is_of_socket(&one.name));
    join_all(own.map(|one| engine.remove_volume(&one.name))).await
}
