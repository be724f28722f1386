//! `config`: checks settings and job without touching the network, and answers the driver's
//! configuration as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::call::Call;

/// The answer, as the runner parses it. Source: GitLab's custom executor, "Config".
#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    builds_dir: &'a str,
    cache_dir: &'a str,
    builds_dir_is_shared: bool,
    driver: Driver,
    shell: &'static str,
    /// Goes into the environment of later calls, unmasked: never a secret.
    job_env: BTreeMap<&'static str, &'a str>,
}

#[derive(Debug, Serialize)]
struct Driver {
    name: &'static str,
    version: &'static str,
}

/// The answer for this job.
pub fn answer<'a>(call: &'a Call<'_>) -> Answer<'a> {
    Answer {
        builds_dir: &call.settings.builds_dir,
        cache_dir: &call.settings.cache_dir,
        // Each job has a volume of its own.
        builds_dir_is_shared: false,
        driver: Driver { name: "longshore", version: env!("CARGO_PKG_VERSION") },
        shell: call.plan.shell.name(),
        job_env: BTreeMap::new(),
    }
}
