//! `[network]`: where a job's packets go, and how it finds names.

use core::net::IpAddr;

use serde::Deserialize;

use super::value::overlay;
use super::{Problem, value};

/// The mode in which each job has a network of its own.
pub const SLOT: &str = "slot";

/// `[network]`. What is left out keeps the more general value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// `slot` (one of its own), `bridge`, `none`, `host`, or the name of a network that exists.
    pub mode: Option<String>,
    /// The modes that a job may choose besides.
    #[serde(deserialize_with = "value::some_or_many")]
    pub allowed_modes: Option<Vec<String>>,
    /// Addresses of name servers.
    #[serde(deserialize_with = "value::some_or_many")]
    pub dns: Option<Vec<String>>,
    /// Domains that short names are looked up in.
    #[serde(deserialize_with = "value::some_or_many")]
    pub dns_search: Option<Vec<String>>,
    /// Options of `resolv.conf`.
    #[serde(deserialize_with = "value::some_or_many")]
    pub dns_options: Option<Vec<String>>,
    /// Names with their address: `NAME:ADDRESS`.
    #[serde(deserialize_with = "value::some_or_many")]
    pub extra_hosts: Option<Vec<String>>,
    /// The job container's host name; `$NAME` stands for the job's variable.
    pub hostname: Option<String>,
}

impl NetworkSettings {
    /// These settings where `own` has none.
    #[must_use]
    pub fn with(&self, own: &Self) -> Self {
        overlay!(
            self,
            own,
            mode,
            allowed_modes,
            dns,
            dns_search,
            dns_options,
            extra_hosts,
            hostname
        )
    }

    /// The mode of jobs that choose none.
    pub fn mode(&self) -> &str {
        self.mode.as_deref().unwrap_or(SLOT)
    }

    pub(super) fn check(&self, key: &str) -> Problem {
        let fail = |name: &str, problem: String| Err((format!("{key}.{name}"), problem));
        let modes = self.mode.iter().map(|mode| ("mode", mode));
        let allowed = self.allowed_modes.iter().flatten().map(|mode| ("allowed_modes", mode));
        for (name, mode) in modes.chain(allowed) {
            if mode.is_empty() || mode.contains(':') {
                let problem =
                    "write slot, bridge, none, host, or the name of a network that exists";
                return fail(name, problem.to_owned());
            }
        }
        let no_address = |text: &&String| text.parse::<IpAddr>().is_err();
        if let Some(odd) = self.dns.iter().flatten().find(no_address) {
            return fail("dns", format!("{odd:?} is no address"));
        }
        let odd = |text: &&String| {
            text.split_once(':').is_none_or(|(name, address)| {
                name.is_empty() || (address != "host-gateway" && address.parse::<IpAddr>().is_err())
            })
        };
        match self.extra_hosts.iter().flatten().find(odd) {
            Some(odd) => fail("extra_hosts", format!("{odd:?} is not \"NAME:ADDRESS\"")),
            None => Ok(()),
        }
    }
}
