//! Looks at the engine for what a sweep has to know, in four requests. It removes nothing.

use std::collections::HashSet;

use crate::engine::{ContainerSummary, Engine, EngineError, ImageSummary, Named, NetworkSummary};
use crate::plan::broker;
use crate::plan::container::Labels;
use crate::plan::sweep::{BROKERED, JOB, KIND, Kind, Object};

/// What the engine has: all containers, our networks and volumes, and the images that are jobs' alone.
///
/// # Errors
/// When the engine does not answer.
pub(super) async fn all<E: Engine>(engine: &E) -> Result<Vec<Object>, EngineError> {
    observe(engine, KIND, None).await
}

/// What the engine has of one job, by its label, and the images that are jobs' alone.
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
    // Containers last: one that comes in between may use what was seen before it, or be of an image's job.
    let (networks, volumes, images) =
        tokio::try_join!(engine.networks(Some(label)), engine.volumes(label), engine.images())?;
    let containers = engine.containers(containers).await?;
    let heirs = heirs(&images, &containers);
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
        inherited: heirs.contains(one.id.as_str()),
    }));
    objects.extend(images.iter().flat_map(|image| of_jobs(image, &containers)));
    Ok(objects)
}

/// The names of an image that are jobs' alone. Its last name cannot be taken from it as long as somebody
/// else's container uses it.
fn of_jobs(image: &ImageSummary, containers: &[ContainerSummary]) -> Vec<Object> {
    let object = |tag: &String| {
        let job = broker::job_of_local(tag)?;
        let is_others = |one: &ContainerSummary| one.labels.get(JOB).is_none_or(|own| own != job);
        let has_others = |one: &ContainerSummary| one.image_id == image.id && is_others(one);
        let its_alone = image.tags.iter().all(|tag| broker::job_of_local(tag) == Some(job));
        let used = its_alone && containers.iter().any(has_others);
        let (name, labels) = (tag.clone(), Labels::new());
        Some(Object { kind: Kind::Image, name, labels, used, inherited: false })
    };
    image.tags.iter().filter_map(object).collect()
}

/// Containers that say a job's script made them, but have, or may have, that from their image.
fn heirs<'a>(images: &[ImageSummary], containers: &'a [ContainerSummary]) -> HashSet<&'a str> {
    let is_brokered =
        |one: &&ContainerSummary| one.labels.get(KIND).is_some_and(|kind| kind == BROKERED);
    let proves = |one: &ContainerSummary| {
        let image = images.iter().find(|image| image.id == one.image_id);
        image.is_some_and(|image| image.labels.get(JOB) != one.labels.get(JOB))
    };
    let brokered = containers.iter().filter(is_brokered);
    brokered.filter(|one| !proves(one)).map(|one| one.id.as_str()).collect()
}
