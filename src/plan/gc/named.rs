//! The images that the operator's settings name: each job needs them, used lately or not.

use std::collections::BTreeSet;

use super::{Patterns, Settings, login};
use crate::plan::image;
use crate::settings::ProjectRule;

/// All images that the settings name without a pattern, in the form of [`login::canonical`].
pub fn named(settings: &Settings) -> BTreeSet<String> {
    let docker = &settings.docker;
    let lists = [&docker.allowed_images, &docker.allowed_services, &docker.shared_images];
    let listed = lists.into_iter().flat_map(Patterns::written);
    let singles = docker.default_image.iter().chain(&docker.helper_image);
    let services = settings.services.iter().map(|service| &service.name);
    let projects = settings.project.iter().flat_map(of_rule);
    let all = listed.chain(singles).chain(services).chain(projects);
    all.filter(|name| is_exact(name))
        .flat_map(|name| image::mirrors(name, settings).into_iter().chain([name.clone()]))
        .map(|name| login::canonical(&name))
        .collect()
}

fn of_rule(rule: &ProjectRule) -> impl Iterator<Item = &String> {
    let lists = [&rule.allowed_images, &rule.allowed_services, &rule.shared_images];
    let listed = lists.into_iter().flatten().flat_map(Patterns::written);
    listed.chain(&rule.default_image).chain(&rule.helper_image)
}

/// Neither a glob nor one with a job's variable in it.
fn is_exact(name: &str) -> bool {
    !name.is_empty() && !name.contains(['*', '?', '[', '{', '$', '!'])
}
