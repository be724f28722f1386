//! What the settings let a container do to its host, in the engine's words; and where that is less safe
//! than it could be, why. Pure.

use crate::settings::IsolationSettings;

use super::container::IsolationPlan;

/// What the agent needs: to become the image's user, to end its stages, to give directories away and to
/// write into those that are not root's.
const AGENT: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID"];

/// Docker's own default set less `NET_RAW`, for images whose user is root.
const ROOT: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The rights of a kind of container: what follows from the settings alone.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Rights {
    /// All but capabilities.
    pub isolation: IsolationPlan,
    /// `SecurityOpt` lines.
    pub security: Vec<String>,
    cap_add: Vec<String>,
    cap_drop: Vec<String>,
}

impl Rights {
    /// The rights of a container of this image.
    pub(super) fn of(settings: &IsolationSettings, image: &str) -> Self {
        let privileged = is_privileged(settings, image);
        let mut security = settings.security_opt.clone().unwrap_or_default();
        // A privileged container is there to do what others cannot.
        if settings.no_new_privileges.unwrap_or(!privileged) {
            security.insert(0, "no-new-privileges".to_owned());
        }
        let isolation = IsolationPlan {
            privileged,
            runtime: settings.runtime.clone(),
            userns: settings.userns.clone(),
            devices: settings.devices.iter().flatten().map(|text| device(text)).collect(),
            device_cgroup_rules: settings.device_cgroup_rules.clone().unwrap_or_default(),
            gpus: settings.gpus.clone(),
            sysctls: settings.sysctls.clone().unwrap_or_default(),
            group_add: settings.group_add.clone().unwrap_or_default(),
            tmpfs: settings.tmpfs.clone().unwrap_or_default(),
        };
        Self {
            isolation,
            security,
            cap_add: names(settings.cap_add.as_ref()),
            cap_drop: names(settings.cap_drop.as_ref()),
        }
    }

    /// The capabilities of a container whose stages begin as root, or not.
    ///
    /// Who may gain privileges (`sudo`) needs root's set to gain. What the agent itself needs stays.
    pub(super) fn capabilities(&self, as_root: bool) -> Vec<String> {
        let may_gain = !self.security.iter().any(|line| line == "no-new-privileges");
        let usual: &[&str] = if as_root || may_gain { &ROOT } else { &AGENT };
        let dropped = |name: &&str| {
            self.cap_drop.iter().any(|drop| drop == name || drop == "ALL") && !AGENT.contains(name)
        };
        let usual = usual.iter().filter(|name| !dropped(name)).map(|name| (*name).to_owned());
        let mut all: Vec<String> = usual.chain(self.cap_add.iter().cloned()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// One line for each thing that is less safe than it could be.
    pub(super) fn unsafe_in_force(&self) -> Vec<String> {
        let Self { isolation, security, cap_add, .. } = self;
        let unconfined = security.iter().any(|line| line.ends_with("unconfined"));
        let devices: Vec<&str> = isolation.devices.iter().map(|(host, ..)| host.as_str()).collect();
        let lines = [
            isolation.privileged.then(|| {
                "this job is privileged: its scripts can do on this host whatever root can".to_owned()
            }),
            (!isolation.privileged && !security.iter().any(|line| line == "no-new-privileges"))
                .then(|| {
                    "this job may gain privileges (no_new_privileges = false): sudo works, and so do \
                     set-uid programs that an image brings"
                        .to_owned()
                }),
            (!cap_add.is_empty()).then(|| {
                format!("this job has capabilities beyond the usual (cap_add): {}", cap_add.join(", "))
            }),
            unconfined.then(|| {
                "this job runs without the kernel's usual confinement (security_opt): more of the \
                 host's kernel is open to its scripts"
                    .to_owned()
            }),
            (!devices.is_empty()).then(|| {
                format!("this job has devices of this host: {}", devices.join(", "))
            }),
            (isolation.userns.as_deref() == Some("host")).then(|| {
                "this job shares the host's users (userns = \"host\"): its root is the host's".to_owned()
            }),
        ];
        lines.into_iter().flatten().collect()
    }
}

/// As in GitLab's executor: an image that is not on the list runs, but without privileges.
fn is_privileged(settings: &IsolationSettings, image: &str) -> bool {
    let listed = settings.allowed_privileged_images.as_ref();
    settings.privileged == Some(true) && listed.is_none_or(|images| images.matches(image))
}

/// A line for a job that could have been privileged with another image.
pub(super) fn not_privileged(settings: &IsolationSettings, image: &str) -> Option<String> {
    let asked = settings.privileged == Some(true) && !is_privileged(settings, image);
    asked.then(|| {
        format!("this job is not privileged: {image} is not among allowed_privileged_images")
    })
}

/// Capabilities as the engine writes them.
fn names(written: Option<&Vec<String>>) -> Vec<String> {
    let name = |text: &String| {
        let upper = text.to_ascii_uppercase();
        upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
    };
    written.into_iter().flatten().map(name).collect()
}

/// `/dev/x[:/dev/y[:rwm]]`, where the second part may be the permissions.
fn device(text: &str) -> (String, String, String) {
    let mut parts = text.split(':');
    let host = parts.next().unwrap_or_default().to_owned();
    let (inside, permissions) = match (parts.next(), parts.next()) {
        (None, _) => (host.clone(), "rwm"),
        (Some(mode), None) if !mode.starts_with('/') => (host.clone(), mode),
        (Some(inside), mode) => (inside.to_owned(), mode.unwrap_or("rwm")),
    };
    (host, inside, permissions.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Patterns;

    fn settings(change: impl FnOnce(&mut IsolationSettings)) -> IsolationSettings {
        let mut settings = IsolationSettings::default();
        change(&mut settings);
        settings
    }

    #[test]
    fn nobody_gets_raw_sockets_and_the_agent_keeps_what_it_needs() {
        let rights = Rights::of(&IsolationSettings::default(), "app");
        assert_eq!(rights.capabilities(true), ROOT);
        assert_eq!(rights.capabilities(false), AGENT);
        let none = settings(|one| one.cap_drop = Some(vec!["all".into()]));
        assert_eq!(Rights::of(&none, "app").capabilities(true), AGENT);
    }

    #[test]
    fn capabilities_are_added_and_dropped_by_either_name() {
        let own = settings(|one| {
            one.cap_add = Some(vec!["cap_sys_ptrace".into()]);
            one.cap_drop = Some(vec!["CAP_MKNOD".into()]);
        });
        let rights = Rights::of(&own, "app");
        assert_eq!(
            rights.capabilities(false),
            ["CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID", "SYS_PTRACE"]
        );
        assert!(!rights.capabilities(true).contains(&"MKNOD".to_owned()));
        assert_eq!(rights.unsafe_in_force().len(), 1);
    }

    #[test]
    fn only_listed_images_are_privileged() {
        let own = settings(|one| {
            one.privileged = Some(true);
            one.allowed_privileged_images = Some(Patterns::new(vec!["docker:*".into()]).unwrap());
        });
        let rights = Rights::of(&own, "docker:28");
        assert!(rights.isolation.privileged && rights.security.is_empty());
        let rights = Rights::of(&own, "other:1");
        assert!(!rights.isolation.privileged);
        assert_eq!(rights.security, ["no-new-privileges"]);
        assert!(not_privileged(&own, "other:1").is_some());
        assert!(not_privileged(&own, "docker:28").is_none());
    }

    #[test]
    fn gaining_privileges_is_told_but_of_a_container_that_has_them_all() {
        let told = |privileged| {
            let own = settings(|one| {
                (one.no_new_privileges, one.privileged) = (Some(false), Some(privileged));
            });
            Rights::of(&own, "app").unsafe_in_force()
        };
        for (privileged, beginning) in [(false, "this job may gain"), (true, "this job is privi")] {
            let lines = told(privileged);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].starts_with(beginning), "{lines:?}");
        }
    }

    #[test]
    fn devices() {
        for (text, expected) in [
            ("/dev/kvm", ("/dev/kvm", "/dev/kvm", "rwm")),
            ("/dev/kvm:r", ("/dev/kvm", "/dev/kvm", "r")),
            ("/dev/sda:/dev/xvda", ("/dev/sda", "/dev/xvda", "rwm")),
            ("/dev/sda:/dev/xvda:rw", ("/dev/sda", "/dev/xvda", "rw")),
        ] {
            let (host, inside, permissions) = device(text);
            assert_eq!((&*host, &*inside, &*permissions), expected, "{text}");
        }
    }
}
