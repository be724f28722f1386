//! Removes what a job made. Idempotent; "already gone" is success; it collects what cannot be removed
//! and goes on.

use futures_util::future::join_all;

use crate::engine::{Engine, EngineError};
use crate::plan::removal::RemovalPlan;

/// Removes containers side by side, then their volumes; answers what is left, and why.
pub async fn remove<E: Engine>(engine: &E, plan: &RemovalPlan) -> Vec<EngineError> {
    let containers =
        join_all(plan.containers.iter().map(|name| engine.remove_container(name))).await;
    let volumes = join_all(plan.volumes.iter().map(|name| engine.remove_volume(name))).await;
    containers.into_iter().chain(volumes).filter_map(Result::err).collect()
}
