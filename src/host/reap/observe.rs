//! Looks at the engine for what a sweep has to know, in three requests. It removes nothing.

use std::collections::HashSet;

use crate::engine::{ContainerSummary, Engine, EngineError, Named, NetworkSummary};
use crate::plan::sweep::{BROKERED, JOB, KIND, Kind, Object};

/// What the engine has: all containers, and our networks and volumes.
///
/// # Errors
/// When the engine does not answer.
pub(super) async fn all<E: Engine>(engine: &E) -> Result<Vec<Object>, EngineError> {
    observe(engine, KIND, None).await
}

/// What the engine has of one job, by its label.
///
/// # Errors
/// When the engine does not answer.
pub async fn of_job<E: Engine>(engine: &E, job: &str) -> Result<Vec<Object>, EngineError> {
    let label = format!("{JOB}={job}");
    observe(engine, &label, Some(&label)).await
}

async fn observe<E: Engine>(
    engine: &E,
    label: &str,
    containers: Option<&str>,
) -> Result<Vec<Object>, EngineError> {
    // Containers last: one that comes in between may use a network or a volume that was seen before it.
    let (networks, volumes) = tokio::join!(engine.networks(Some(label)), engine.volumes(label));
    let (networks, volumes) = (networks?, volumes?);
    let containers = engine.containers(containers).await?;
    let heirs = heirs(engine, &containers).await?;
    let used_networks = containers.iter().flat_map(|one| &one.networks).collect::<HashSet<_>>();
    let used_volumes = containers.iter().flat_map(|one| &one.volumes).collect::<HashSet<_>>();
    let networks = networks.into_iter().map(|NetworkSummary { name, labels, .. }| {
        let used = used_networks.contains(&name);
        Object { kind: Kind::Network, name, labels, used, inherited: false }
    });
    let volumes = volumes.into_iter().map(|Named { name, labels }| {
        let used = used_volumes.contains(&name);
        Object { kind: Kind::Volume, name, labels, used, inherited: false }
    });
    let mut objects: Vec<Object> = networks.chain(volumes).collect();
    objects.extend(containers.iter().map(|one| Object {
        kind: Kind::Container,
        name: one.name.clone(),
        labels: one.labels.clone(),
        used: true,
        inherited: heirs.contains(&one.id),
    }));
    Ok(objects)
}

/// Containers that say a job's script made them, but have, or may have, that from their image. The images
/// are asked for only where there is such a container.
async fn heirs<E: Engine>(
    engine: &E,
    containers: &[ContainerSummary],
) -> Result<HashSet<String>, EngineError> {
    let is_brokered =
        |one: &&ContainerSummary| one.labels.get(KIND).is_some_and(|kind| kind == BROKERED);
    let mut brokered = containers.iter().filter(is_brokered).peekable();
    if brokered.peek().is_none() {
        return Ok(HashSet::new());
    }
    let images = engine.images().await?;
    let proves = |one: &ContainerSummary| {
        let image = images.iter().find(|image| image.id == one.image_id);
        image.is_some_and(|image| image.labels.get(JOB) != one.labels.get(JOB))
    };
    Ok(brokered.filter(|one| !proves(one)).map(|one| one.id.clone()).collect())
}
