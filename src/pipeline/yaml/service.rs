//! `services:` of a job or of the defaults. Expands nothing.

use super::{
    super::model::Service,
    fault::Read,
    job::{pull_policies, variables},
    keys::{self, entry},
    node::{Node, Value},
    value::Field,
};

/// A list of names and mappings.
pub(super) fn services(field: Field<'_>) -> Read<Vec<Service>> {
    let Value::List(items) = &field.node.value else { return field.wrong("a list of services") };
    items.iter().map(|item| service(Field::new(field.key, item))).collect()
}

fn service(field: Field<'_>) -> Read<Service> {
    let Value::Map(_) = field.node.value else {
        return Ok(Service { name: field.text()?, ..Service::default() });
    };
    let entries = keys::SERVICE.entries(field.node, field.key)?;
    let Some(name) = entry(entries, "name") else {
        return field.wrong("a text, or a mapping with \"name\"");
    };
    let texts = |key| entry(entries, key).map(|found| Field::from(found).text_or_texts());
    let alias = entry(entries, "alias").map(|found| Field::from(found).text());
    let policies = entry(entries, "pull_policy").map(|found| pull_policies(found.into()));
    let own = entry(entries, "variables").map(|found| variables(found.into()));
    let docker = entry(entries, "docker").map(|found| docker(&found.node, &found.key));
    let (platform, user) = docker.transpose()?.unwrap_or_default();
    Ok(Service {
        name: Field::from(name).text()?,
        alias: alias.transpose()?.unwrap_or_default(),
        entrypoint: texts("entrypoint").transpose()?.unwrap_or_default(),
        command: texts("command").transpose()?.unwrap_or_default(),
        variables: own.transpose()?.unwrap_or_default(),
        pull_policy: policies.transpose()?.unwrap_or_default(),
        platform,
        user,
    })
}

/// Platform and user.
fn docker(node: &Node, key: &str) -> Read<(String, String)> {
    let entries = keys::SERVICE_DOCKER.entries(node, key)?;
    let text = |key| entry(entries, key).map(|found| Field::from(found).text_or_number());
    let text = |key| text(key).transpose().map(Option::unwrap_or_default);
    Ok((text("platform")?, text("user")?))
}
