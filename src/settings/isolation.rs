//! `[isolation]`, and the `isolation` of a helper, of services and of a project: what a container may do to
//! its host. What is left out is as strict as Longshore can be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::value::overlay;
use super::{Patterns, Problem, value};

/// `[isolation]`, of one container. What is left out keeps the more general value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IsolationSettings {
    /// All of the host's devices and capabilities.
    pub privileged: Option<bool>,
    /// The images that `privileged` is for; all of them where this is left out.
    pub allowed_privileged_images: Option<Patterns>,
    /// Whether `sudo` and the like are kept from gaining rights; on by default.
    pub no_new_privileges: Option<bool>,
    /// Capabilities besides the default ones.
    #[serde(deserialize_with = "value::some_or_many")]
    pub cap_add: Option<Vec<String>>,
    /// Capabilities to go without; `ALL` leaves what the agent itself needs.
    #[serde(deserialize_with = "value::some_or_many")]
    pub cap_drop: Option<Vec<String>>,
    /// Further security options, as with `docker run --security-opt`.
    #[serde(deserialize_with = "value::some_or_many")]
    pub security_opt: Option<Vec<String>>,
    /// The daemon's runtime.
    pub runtime: Option<String>,
    /// User namespace: `host` where the daemon remaps users.
    pub userns: Option<String>,
    /// Devices of the host: `/dev/x`, `/dev/x:/dev/y` or `/dev/x:/dev/y:rwm`.
    #[serde(deserialize_with = "value::some_or_many")]
    pub devices: Option<Vec<String>>,
    /// Rules for device numbers, such as `c 81:* rmw`.
    #[serde(deserialize_with = "value::some_or_many")]
    pub device_cgroup_rules: Option<Vec<String>>,
    /// GPUs, as with `docker run --gpus`.
    pub gpus: Option<Gpus>,
    /// Kernel settings of its own namespaces.
    pub sysctls: Option<BTreeMap<String, String>>,
    /// Further groups of its first process.
    #[serde(deserialize_with = "value::some_or_many")]
    pub group_add: Option<Vec<String>>,
    /// Directories in memory, with mount options such as `size=64m,noexec`.
    pub tmpfs: Option<BTreeMap<String, String>>,
}

impl IsolationSettings {
    /// These settings where `own` has none.
    #[must_use]
    pub fn with(&self, own: &Self) -> Self {
        overlay!(
            self,
            own,
            privileged,
            allowed_privileged_images,
            no_new_privileges,
            cap_add,
            cap_drop,
            security_opt,
            runtime,
            userns,
            devices,
            device_cgroup_rules,
            gpus,
            sysctls,
            group_add,
            tmpfs
        )
    }

    pub(super) fn check(&self, key: &str) -> Problem {
        let fail = |name: &str, problem: String| Err((format!("{key}.{name}"), problem));
        for (name, list) in [("cap_add", &self.cap_add), ("cap_drop", &self.cap_drop)] {
            let odd = |one: &&String| !one.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
            if let Some(odd) = list.iter().flatten().find(odd) {
                return fail(name, format!("{odd:?} is no capability such as \"SYS_PTRACE\""));
            }
        }
        for device in self.devices.iter().flatten() {
            if !device.starts_with('/') || device.split(':').count() > 3 {
                let problem = format!("{device:?} is not \"/dev/x[:/dev/y[:rwm]]\"");
                return fail("devices", problem);
            }
        }
        let relative = |path: &&String| !path.starts_with('/');
        if let Some(path) = self.tmpfs.iter().flat_map(BTreeMap::keys).find(relative) {
            return fail("tmpfs", format!("{path:?} is not an absolute path"));
        }
        if self.userns.as_ref().is_some_and(|userns| userns != "host") {
            return fail("userns", "the only choice is \"host\"".to_owned());
        }
        Ok(())
    }
}

/// Which GPUs: `"all"`, a number, or `"device=0,1"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gpus {
    /// So many; -1 for all.
    Count(i64),
    /// These.
    Devices(Vec<String>),
}

impl<'de> Deserialize<'de> for Gpus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let devices = text.strip_prefix("device=").filter(|ids| !ids.is_empty());
        match (text.as_str(), devices, text.parse()) {
            ("all", ..) => Ok(Self::Count(-1)),
            (_, Some(ids), _) => Ok(Self::Devices(ids.split(',').map(str::to_owned).collect())),
            (_, None, Ok(count)) if count > 0 => Ok(Self::Count(count)),
            _ => Err(serde::de::Error::custom(format!(
                "{text:?} names no GPUs; write \"all\", a number or \"device=0,1\""
            ))),
        }
    }
}
