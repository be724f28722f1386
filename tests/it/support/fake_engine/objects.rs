//! What the stand-in daemon has: containers, networks, volumes and images, and its rules on what may be
//! removed while something uses it.

use std::collections::BTreeMap;

use bytes::Bytes;
use longshore::engine::{
    ContainerState, ContainerSummary, DiskUsage, Fault, ImageFacts, ImageSummary, ImageUsage,
    Named, NetworkSummary, Removed, VolumeUsage,
};
use longshore::plan::container::{ContainerNetwork, ContainerPlan, Labels, MountSource};

use super::process::{Console, Running};

/// A failure as the rules see it.
pub(crate) type Refusal = (Fault, String);

/// One container.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) plan: ContainerPlan,
    pub(crate) image_id: String,
    pub(crate) labels: Labels,
    pub(crate) console: Console,
    pub(crate) running: Option<Running>,
    pub(crate) created: i64,
}

impl Container {
    pub(crate) fn runs(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.exit_code().is_none())
    }

    pub(crate) fn network(&self) -> Option<&str> {
        match &self.plan.network {
            ContainerNetwork::Named { name, .. } => Some(name),
            ContainerNetwork::Join(_) | ContainerNetwork::Slot { .. } => None,
        }
    }

    pub(crate) fn volumes(&self) -> Vec<&str> {
        let sources = self.plan.mounts.iter().map(|mount| &mount.source);
        sources
            .filter_map(|source| match source {
                MountSource::Volume { name, .. } => Some(name.as_str()),
                MountSource::Tmpfs { .. } | MountSource::HostPath(_) => None,
            })
            .collect()
    }

    pub(crate) fn state(&self) -> ContainerState {
        ContainerState {
            id: self.id.clone(),
            running: self.runs(),
            exit_code: self.running.as_ref().and_then(Running::exit_code).unwrap_or_default(),
            oom_killed: false,
            error: String::new(),
            address: self.runs().then(|| std::net::Ipv4Addr::LOCALHOST.into()),
        }
    }

    pub(crate) fn summary(&self) -> ContainerSummary {
        let state = match &self.running {
            None => "created",
            Some(_) if self.runs() => "running",
            Some(_) => "exited",
        };
        ContainerSummary {
            id: self.id.clone(),
            name: self.plan.name.clone(),
            image_id: self.image_id.clone(),
            state: state.to_owned(),
            labels: self.labels.clone(),
            networks: self.network().into_iter().map(str::to_owned).collect(),
            volumes: self.volumes().into_iter().map(str::to_owned).collect(),
            created: self.created,
        }
    }
}

/// One image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    pub(crate) facts: ImageFacts,
    pub(crate) tags: Vec<String>,
    pub(crate) labels: Labels,
}

/// All that the daemon has.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) networks: BTreeMap<String, Labels>,
    /// Of those networks that have one.
    pub(crate) subnets: BTreeMap<String, String>,
    pub(crate) volumes: BTreeMap<String, Labels>,
    pub(crate) images: Vec<Image>,
    pub(crate) uploads: Vec<(String, String, Bytes)>,
    made: i64,
}

/// Whether labels answer a filter of `key` or `key=value`.
pub(crate) fn carries(labels: &Labels, filter: &str) -> bool {
    match filter.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|own| own == value),
        None => labels.contains_key(filter),
    }
}

impl Objects {
    pub(crate) fn container(&self, name: &str) -> Option<&Container> {
        self.containers.values().find(|container| is(container, name))
    }

    pub(crate) fn container_mut(&mut self, name: &str) -> Option<&mut Container> {
        self.containers.values_mut().find(|container| is(container, name))
    }

    pub(crate) fn create(&mut self, plan: &ContainerPlan) -> Result<String, Refusal> {
        if matches!(plan.network, ContainerNetwork::Slot { .. }) {
            return Err((Fault::Refused, "its network is still a slot".to_owned()));
        }
        if self.containers.contains_key(&plan.name) {
            return Err((Fault::Conflict, format!("the name {} is in use", plan.name)));
        }
        let Some(image) = self.image(&plan.image).cloned() else {
            return Err((Fault::NotFound, format!("No such image: {}", plan.image)));
        };
        for mount in &plan.mounts {
            if let MountSource::Volume { name, labels, .. } = &mount.source {
                self.volumes.entry(name.clone()).or_insert_with(|| labels.clone());
            }
        }
        self.made += 1;
        let mut labels = image.labels;
        labels.extend(plan.labels.clone());
        let container = Container {
            id: format!("{:064x}", self.made),
            plan: plan.clone(),
            image_id: image.facts.id,
            labels,
            console: Console::new(),
            running: None,
            created: self.made,
        };
        let id = container.id.clone();
        self.containers.insert(plan.name.clone(), container);
        Ok(id)
    }

    /// Whether the network of this container is there for it to start.
    pub(crate) fn can_start(&self, container: &Container) -> Result<(), Refusal> {
        match &container.plan.network {
            ContainerNetwork::Join(owner) => match self.container(owner) {
                Some(owner) if owner.runs() => Ok(()),
                Some(_) => Err((Fault::Conflict, format!("{owner} is not running"))),
                None => Err((Fault::NotFound, format!("No such container: {owner}"))),
            },
            ContainerNetwork::Named { name, .. } if !self.networks.contains_key(name) => {
                Err((Fault::NotFound, format!("network {name} not found")))
            }
            ContainerNetwork::Named { .. } | ContainerNetwork::Slot { .. } => Ok(()),
        }
    }

    pub(crate) fn remove_container(&mut self, name: &str) -> Removed {
        let Some(name) = self.container(name).map(|container| container.plan.name.clone()) else {
            return Removed::Absent;
        };
        if let Some(running) = self.containers.remove(&name).and_then(|gone| gone.running) {
            running.kill();
        }
        Removed::Gone
    }

    /// A subnet that is taken is refused where it is the very same; none is chosen small.
    pub(crate) fn create_network(
        &mut self,
        name: &str,
        subnet: Option<&str>,
        labels: &Labels,
    ) -> Result<(), Refusal> {
        if self.networks.contains_key(name) {
            return Ok(());
        }
        let chosen = || format!("10.77.{}.0/26", self.subnets.len());
        let subnet = subnet.map_or_else(chosen, str::to_owned);
        if self.subnets.values().any(|taken| *taken == subnet) {
            return Err((Fault::Refused, "Pool overlaps with other one".to_owned()));
        }
        self.networks.insert(name.to_owned(), labels.clone());
        self.subnets.insert(name.to_owned(), subnet);
        Ok(())
    }

    pub(crate) fn network_list(&self, label: Option<&str>) -> Vec<NetworkSummary> {
        let all = self.networks.iter();
        all.filter(|(_name, labels)| label.is_none_or(|label| carries(labels, label)))
            .map(|(name, labels)| NetworkSummary {
                name: name.clone(),
                labels: labels.clone(),
                subnets: self.subnets.get(name).cloned().into_iter().collect(),
            })
            .collect()
    }

    pub(crate) fn remove_network(&mut self, name: &str) -> Result<Removed, Refusal> {
        let user = self
            .containers
            .values()
            .find(|container| container.runs() && container.network() == Some(name));
        if let Some(user) = user {
            return Err((Fault::Conflict, format!("{} has active endpoints", user.plan.name)));
        }
        self.subnets.remove(name);
        Ok(self.networks.remove(name).map_or(Removed::Absent, |_labels| Removed::Gone))
    }

    pub(crate) fn remove_volume(&mut self, name: &str) -> Result<Removed, Refusal> {
        let uses = |container: &&Container| {
            container.plan.mounts.iter().any(|mount| {
                matches!(&mount.source, MountSource::Volume { name: own, .. } if own == name)
            })
        };
        if let Some(user) = self.containers.values().find(uses) {
            return Err((Fault::Conflict, format!("volume is in use - [{}]", user.id)));
        }
        Ok(self.volumes.remove(name).map_or(Removed::Absent, |_labels| Removed::Gone))
    }

    pub(crate) fn image(&self, reference: &str) -> Option<&Image> {
        self.images.iter().find(|image| answers_to(image, reference))
    }

    /// Takes one reference from an image; the image goes with the last of its tags.
    pub(crate) fn remove_image(&mut self, reference: &str) -> Result<Removed, Refusal> {
        let Some(at) = self.images.iter().position(|image| answers_to(image, reference)) else {
            return Ok(Removed::Absent);
        };
        let image = &self.images[at];
        let by_id = image.facts.id == reference;
        let last = by_id || image.tags.iter().all(|tag| tag == reference);
        if by_id && image.tags.len() > 1 {
            return Err((Fault::Conflict, "image is referenced in multiple repositories".into()));
        }
        let user = self.containers.values().find(|user| user.image_id == image.facts.id);
        if let Some(user) = user.filter(|_user| last) {
            let cause = format!("container {} is using its referenced image", user.id);
            return Err((Fault::Conflict, cause));
        }
        if last {
            self.images.remove(at);
        } else {
            self.images[at].tags.retain(|tag| tag != reference);
            self.images[at].facts.digests.retain(|digest| digest != reference);
        }
        Ok(Removed::Gone)
    }

    /// Each image is taken to have its layers for itself.
    pub(crate) fn disk_usage(&self) -> DiskUsage {
        let image = |image: &Image| ImageUsage {
            id: image.facts.id.clone(),
            tags: image.tags.clone(),
            digests: image.facts.digests.clone(),
            size: image.facts.size,
            ..ImageUsage::default()
        };
        let volume = |(name, labels): (&String, &Labels)| VolumeUsage {
            name: name.clone(),
            labels: labels.clone(),
            size: Some(0),
            ..VolumeUsage::default()
        };
        DiskUsage {
            layers_bytes: self.images.iter().map(|image| image.facts.size).sum(),
            images: self.images.iter().map(image).collect(),
            volumes: self.volumes.iter().map(volume).collect(),
            build_cache: Vec::new(),
        }
    }

    pub(crate) fn image_list(&self) -> Vec<ImageSummary> {
        let summary = |image: &Image| ImageSummary {
            id: image.facts.id.clone(),
            tags: image.tags.clone(),
            digests: image.facts.digests.clone(),
            labels: image.labels.clone(),
            created: 0,
            size: image.facts.size,
        };
        self.images.iter().map(summary).collect()
    }
}

/// Those objects of a kind that carry the label.
pub(crate) fn labelled(objects: &BTreeMap<String, Labels>, filter: &str) -> Vec<Named> {
    objects
        .iter()
        .filter(|(_name, labels)| carries(labels, filter))
        .map(|(name, labels)| Named { name: name.clone(), labels: labels.clone() })
        .collect()
}

fn is(container: &Container, name: &str) -> bool {
    container.plan.name == name || container.id == name
}

fn answers_to(image: &Image, reference: &str) -> bool {
    image.facts.id == reference
        || image.tags.iter().chain(&image.facts.digests).any(|own| own == reference)
}
