//! `[[services]]` and `[[service_rule]]`: what the operator says about services. It
//! does not know how a service is made or found ready.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Patterns, Problem, value};

/// `[[services]]`: a service that jobs get besides their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultService {
    /// Its image; `$NAME` stands for the job's variable.
    pub name: String,
    /// Further names that it is found by.
    #[serde(default, deserialize_with = "value::one_or_many")]
    pub alias: Vec<String>,
    /// Instead of the image's entrypoint.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// Instead of the image's command.
    #[serde(default)]
    pub command: Vec<String>,
    /// Its environment; `$NAME` stands for the job's variable.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Whose jobs get it.
    #[serde(default = "Patterns::everything")]
    pub projects: Patterns,
}

/// `[[service_rule]]`: how services of some images are treated.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRule {
    /// The images.
    pub images: Patterns,
    /// Whether the job fails where the service dies or does not get ready.
    #[serde(default)]
    pub critical: bool,
    /// It is ready once a GET of this, `PORT/PATH`, is answered with a status below 400.
    #[serde(default)]
    pub http: Option<String>,
}

pub(super) fn check(services: &[DefaultService], rules: &[ServiceRule]) -> Problem {
    if services.iter().any(|one| one.name.trim().is_empty()) {
        return Err(("services.name".to_owned(), "names no image".to_owned()));
    }
    let odd = rules.iter().filter_map(|rule| rule.http.as_deref()).find(|http| {
        let port = http.split('/').next().unwrap_or_default();
        !port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match odd {
        Some(http) => Err((
            "service_rule.http".to_owned(),
            format!("{http:?} is no port with a path; write for example \"8080/health\""),
        )),
        None => Ok(()),
    }
}
