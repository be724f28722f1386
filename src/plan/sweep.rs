//! What `reap` removes: objects of jobs whose runner is gone or whose deadline has passed. Pure: it is
//! told who lives and what time it is.

use serde::Serialize;

use super::container::Labels;
use super::owner::Owner;

/// What kind of object it is; also the order of removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Uses the others, so it goes first.
    Container,
    /// A slot network.
    Network,
    /// A volume.
    Volume,
}

/// One object that longshore made, as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Whether a container uses it.
    pub used: bool,
}

/// What is to be removed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doomed {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Why it goes.
    pub reason: &'static str,
}

/// What a sweep has to know of this host.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// The agent volume in use.
    pub agent_volume: &'a str,
    /// The settings' slot networks; others belong to another installation.
    pub slot_prefix: &'a str,
    /// Unix seconds.
    pub now_unix: u64,
}

/// Plans a sweep. `alive` tells whether an owner lives, `None` where that cannot be seen from here.
pub fn plan(
    objects: &[Object],
    alive: impl Fn(&Owner) -> Option<bool>,
    host: &Host<'_>,
) -> Vec<Doomed> {
    let mut doomed: Vec<Doomed> = objects
        .iter()
        .filter_map(|object| {
            let reason = reason(object, &alive, host)?;
            Some(Doomed { kind: object.kind, name: object.name.clone(), reason })
        })
        .collect();
    doomed.sort_by(|left, right| (left.kind, &left.name).cmp(&(right.kind, &right.name)));
    doomed
}

fn reason(
    object: &Object,
    alive: impl Fn(&Owner) -> Option<bool>,
    host: &Host<'_>,
) -> Option<&'static str> {
    match object.labels.get("longshore.kind").map(String::as_str) {
        Some("slot") => {
            let idle = !object.used && object.name.starts_with(host.slot_prefix);
            return idle.then_some("the slot is idle");
        }
        Some("agent") if object.kind == Kind::Volume => {
            let old = !object.used && object.name != host.agent_volume;
            return old.then_some("it carries another version of the agent");
        }
        // Only volumes are of this kind; the container that fills one is its job's.
        Some("agent") | None => return None,
        Some(_) => {}
    }
    if !is_named_by_us(object) {
        return None;
    }
    let deadline: u64 = object.labels.get("longshore.deadline")?.parse().ok()?;
    let Some(owner) = Owner::read(&object.labels) else {
        return (host.now_unix > deadline).then_some(TOO_LATE);
    };
    orphaned(&owner, deadline, alive, host.now_unix)
}

/// The kind of all that came to be through a brokered socket.
pub const BROKERED: &str = "brokered";

const TOO_LATE: &str = "its job's deadline has passed";

/// Why something that belongs to a job is nobody's any more, if it is.
pub fn orphaned(
    owner: &Owner,
    deadline_unix: u64,
    alive: impl Fn(&Owner) -> Option<bool>,
    now_unix: u64,
) -> Option<&'static str> {
    if now_unix > deadline_unix {
        return Some(TOO_LATE);
    }
    (alive(owner) == Some(false)).then_some("its runner is gone")
}

/// A container inherits its image's labels, so labels alone prove nothing; the name has to fit them.
fn is_named_by_us(object: &Object) -> bool {
    let label = |key: &str| object.labels.get(key).map_or("", String::as_str);
    let (job, kind) = (label("longshore.job"), label("longshore.kind"));
    // What came to be through the job's Docker socket has a name of the job's choice behind its prefix.
    let of_socket = kind == BROKERED && object.name.starts_with(&format!("longshore-{job}-x-"));
    !job.is_empty() && (of_socket || object.name == format!("longshore-{job}-{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_to_be_through_a_socket_is_known_by_prefix_and_labels_together() {
        let object = |name: &str, kind: &str| Object {
            kind: Kind::Container,
            name: name.to_owned(),
            labels: [("longshore.job", "1-a"), ("longshore.kind", kind)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            used: false,
        };
        for (name, kind, ours) in [
            ("longshore-1-a-x-web", BROKERED, true),
            ("longshore-1-a-x-web", "job", false),
            ("longshore-2-b-x-web", BROKERED, false),
            ("web", BROKERED, false),
        ] {
            assert_eq!(is_named_by_us(&object(name, kind)), ours, "{name} {kind}");
        }
    }

    fn owner() -> Owner {
        Owner { boot_id: "b".into(), pid_namespace: "n".into(), pid: 1, start_time: 2 }
    }

    fn object(kind: Kind, label: &str) -> Object {
        let mut labels = Labels::from([
            ("longshore.kind".to_owned(), label.to_owned()),
            ("longshore.job".to_owned(), "7-ab".to_owned()),
            ("longshore.deadline".to_owned(), "100".to_owned()),
        ]);
        owner().write(&mut labels);
        Object { kind, name: format!("longshore-7-ab-{label}"), labels, used: false }
    }

    fn at(now_unix: u64) -> Host<'static> {
        Host { agent_volume: "current", slot_prefix: "longshore-7-ab-", now_unix }
    }

    fn reason_of(object: &Object, alive: Option<bool>, now: u64) -> Option<&'static str> {
        plan(std::slice::from_ref(object), |_| alive, &at(now)).first().map(|one| one.reason)
    }

    #[test]
    fn another_installations_slots_are_not_ours() {
        let mut slot = object(Kind::Network, "slot");
        slot.name = "longshore-other-slot-0".to_owned();
        assert_eq!(reason_of(&slot, None, 0), None);
    }

    #[test]
    fn a_living_owner_keeps_its_things_until_the_deadline() {
        let job = object(Kind::Container, "job");
        assert_eq!(reason_of(&job, Some(true), 100), None);
        assert_eq!(reason_of(&job, Some(true), 101), Some("its job's deadline has passed"));
    }

    #[test]
    fn an_owner_that_cannot_be_seen_counts_as_alive() {
        let job = object(Kind::Container, "job");
        assert_eq!(reason_of(&job, None, 50), None);
        assert_eq!(reason_of(&job, Some(false), 50), Some("its runner is gone"));
    }

    #[test]
    fn without_our_labels_nothing_is_ours() {
        let mut foreign = object(Kind::Container, "job");
        foreign.labels.remove("longshore.kind");
        assert_eq!(reason_of(&foreign, Some(false), 1000), None);
    }

    #[test]
    fn an_image_that_carries_our_labels_does_not_make_its_containers_ours() {
        let mut inherited = object(Kind::Container, "job");
        inherited.name = "somebodys-database".to_owned();
        assert_eq!(reason_of(&inherited, Some(false), 1000), None);
    }

    #[test]
    fn idle_slots_and_old_agents_go_and_used_ones_stay() {
        let mut slot = object(Kind::Network, "slot");
        assert!(reason_of(&slot, None, 0).is_some());
        slot.used = true;
        assert!(reason_of(&slot, None, 0).is_none());
        let mut agent = object(Kind::Volume, "agent");
        assert!(reason_of(&agent, None, 0).is_some());
        agent.name = "current".to_owned();
        assert!(reason_of(&agent, None, 0).is_none());
    }

    /// The container that fills an agent volume is its job's; nothing but a volume is the agent's.
    #[test]
    fn a_container_that_says_it_is_the_agents_stays() {
        let container = object(Kind::Container, "agent");
        assert_eq!(reason_of(&container, Some(false), 1000), None);
    }

    #[test]
    fn containers_go_before_what_they_use() {
        let objects = [object(Kind::Volume, "builds"), object(Kind::Container, "job")];
        let doomed = plan(&objects, |_| Some(false), &at(0));
        assert_eq!(doomed[0].kind, Kind::Container);
    }
}
