//! Where a job's packets go: the operator's mode, or the job's own choice from the operator's list. Pure.

use serde::Serialize;

use crate::job::JobContext;
use crate::settings::{NetworkSettings, SLOT};

use super::Refusal;
use super::container::{ContainerNetwork, ResolverPlan};

/// The variable by which a job chooses.
const CHOICE: &str = "LONGSHORE_NETWORK_MODE";

/// The network of a job.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkPlan {
    /// A network that exists; `None` for a slot of the job's own.
    pub named: Option<String>,
    /// How names are found on it.
    pub resolver: ResolverPlan,
    /// The job container's host name, where the operator set one.
    pub hostname: Option<String>,
}

impl NetworkPlan {
    pub(super) fn of(context: &JobContext, settings: &NetworkSettings) -> Result<Self, Refusal> {
        let chosen = context.variable(CHOICE).map(str::trim).filter(|mode| !mode.is_empty());
        let mode = chosen.unwrap_or(settings.mode());
        let allowed = settings.allowed_modes.iter().flatten().map(String::as_str);
        if mode != settings.mode() && !allowed.clone().any(|one| one == mode) {
            let allowed: Vec<&str> = std::iter::once(settings.mode()).chain(allowed).collect();
            return Err(Refusal::NetworkMode {
                mode: mode.to_owned(),
                allowed: allowed.join(", "),
            });
        }
        let list = |written: &Option<Vec<String>>| written.clone().unwrap_or_default();
        let hostname = settings.hostname.as_ref().map(|name| host_name(&context.expand(name)));
        Ok(Self {
            named: (mode != SLOT).then(|| mode.to_owned()),
            resolver: ResolverPlan {
                dns: list(&settings.dns),
                dns_search: list(&settings.dns_search),
                dns_options: list(&settings.dns_options),
                extra_hosts: list(&settings.extra_hosts),
            },
            hostname: hostname.filter(|name| !name.is_empty()),
        })
    }

    /// The network of the job container.
    pub(super) fn container(&self) -> ContainerNetwork {
        let aliases = vec!["build".to_owned()];
        match &self.named {
            None => ContainerNetwork::Slot { aliases },
            // Networks that every engine has know no aliases.
            Some(name) if matches!(name.as_str(), "bridge" | "host" | "none") => {
                ContainerNetwork::Named { name: name.clone(), aliases: Vec::new() }
            }
            Some(name) => ContainerNetwork::Named { name: name.clone(), aliases },
        }
    }

    /// Services are found by name, which the networks that every engine has do not know.
    pub(super) fn check_names(&self) -> Result<(), Refusal> {
        match self.named.as_deref() {
            Some(mode @ ("bridge" | "host" | "none")) => {
                Err(Refusal::ServicesNetwork { mode: mode.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// A line where the job is not on a network of its own.
    pub(super) fn unsafe_in_force(&self) -> Option<String> {
        match self.named.as_deref()? {
            "none" => None,
            "host" => Some(
                "this job is on the host's own network: its scripts reach all that listens on this \
                 host, also on 127.0.0.1"
                    .to_owned(),
            ),
            shared => Some(format!(
                "this job shares the network {shared} with other containers: they can reach each \
                 other's ports"
            )),
        }
    }
}

/// What a host may be called: 63 of letters, digits and hyphens, beginning and ending with neither.
fn host_name(text: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = text.chars().map(legal).take(63).collect();
    name.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn a_host_name_is_legal_whatever_a_variable_holds() {
        assert_eq!(host_name("runner-group/app_1"), "runner-group-app-1");
        assert_eq!(host_name("--"), "");
        assert_eq!(host_name(&"x".repeat(80)).len(), 63);
    }
}
