//! What `reap` removes: objects of jobs whose runner is gone, whose deadline has passed, or whose cleanup
//! was cut short. Pure: it is told who lives and what time it is.
//!
//! An image carries no labels of its job, but a name that is its job's alone. A job that may make images has
//! a container, from before the first of them: without one, nobody can use them any more.

use std::collections::BTreeSet;

use serde::Serialize;

use super::broker;
use super::container::Labels;
use super::owner::{Moment, Owner};

/// What kind of object it is; also the order of removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Uses the others, so it goes first.
    Container,
    /// A slot network, or one that a job's script made.
    Network,
    /// A volume.
    Volume,
    /// A name of an image that is one job's alone.
    Image,
}

/// One object of the engine, as it lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Whether a container uses it; an image, whether only another's container keeps it.
    pub used: bool,
    /// Whether a container has its labels from its image, so that they prove nothing.
    pub inherited: bool,
}

impl Object {
    /// The key of the job that it says it is of.
    fn job(&self) -> Option<&str> {
        match self.kind {
            Kind::Image => broker::job_of_local(&self.name),
            _ => self.labels.get(JOB).map(String::as_str),
        }
    }
}

/// What is to be removed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doomed {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Whose it is: the job's key; none for what is the host's.
    pub job: Option<String>,
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
    /// Slots of lower numbers stay though they are idle: the next jobs take them.
    pub kept_slots: u32,
    /// The time.
    pub now: Moment,
    /// Keys of jobs whose cleanup began and has nobody any more who would finish it.
    pub cut_short: &'a BTreeSet<String>,
}

/// The kind of all that a job's script made through its brokered socket. Such an object carries all of its
/// job's labels, but has the name that the script gave it.
pub const BROKERED: &str = "brokered";

/// The label that tells the kind of an object of ours.
pub const KIND: &str = "longshore.kind";

/// The label that tells whose an object is: the job's key.
pub const JOB: &str = "longshore.job";

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
            let (kind, name) = (object.kind, object.name.clone());
            Some(Doomed { kind, name, job: object.labels.get(JOB).cloned(), reason })
        })
        .collect();
    let images = images_of_nobody(objects, &doomed);
    doomed.extend(images);
    doomed.sort_by(|left, right| (left.kind, &left.name).cmp(&(right.kind, &right.name)));
    doomed
}

/// Images of jobs that have no container, or none that stays.
fn images_of_nobody(objects: &[Object], doomed: &[Doomed]) -> Vec<Doomed> {
    let goes = |one: &Object| doomed.iter().any(|doomed| doomed.name == one.name);
    let containers = objects.iter().filter(|one| one.kind == Kind::Container && is_of_a_job(one));
    let stay: BTreeSet<&str> =
        containers.filter(|one| !goes(one)).filter_map(Object::job).collect();
    let images = objects.iter().filter(|one| one.kind == Kind::Image && !one.used);
    let image = |one: &Object| {
        let job = one.job().filter(|job| !stay.contains(job))?.to_owned();
        let (kind, name, job) = (one.kind, one.name.clone(), Some(job));
        Some(Doomed { kind, name, job, reason: "its job has no container any more" })
    };
    images.filter_map(image).collect()
}

fn reason(
    object: &Object,
    alive: impl Fn(&Owner) -> Option<bool>,
    host: &Host<'_>,
) -> Option<&'static str> {
    match object.labels.get(KIND).map(String::as_str) {
        Some("slot") => {
            let idle = !object.used && is_spare_slot(&object.name, host);
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
    if !is_of_a_job(object) {
        return None;
    }
    if object.labels.get(JOB).is_some_and(|job| host.cut_short.contains(job)) {
        return Some(CUT_SHORT);
    }
    let deadline = Moment::read_deadline(&object.labels)?;
    let Some(owner) = Owner::read(&object.labels) else {
        return deadline.is_over(host.now).then_some(TOO_LATE);
    };
    orphaned(&owner, deadline, alive, host.now)
}

const TOO_LATE: &str = "its job's deadline has passed";

/// Why the rest of a job goes whose removal was begun.
pub const CUT_SHORT: &str = "its job's cleanup was cut short";

/// Why something that belongs to a job is nobody's any more, if it is.
pub fn orphaned(
    owner: &Owner,
    deadline: Moment,
    alive: impl Fn(&Owner) -> Option<bool>,
    now: Moment,
) -> Option<&'static str> {
    // The deadline is of this boot; one of an earlier boot says nothing, but then the owner is gone too.
    if alive(owner) == Some(false) {
        return Some("its runner is gone");
    }
    deadline.is_over(now).then_some(TOO_LATE)
}

/// What a live job may take next stays: making a network costs it more than all else.
fn is_spare_slot(name: &str, host: &Host<'_>) -> bool {
    let number = name.strip_prefix(host.slot_prefix);
    number.is_some_and(|number| number.parse().is_ok_and(|number: u32| number >= host.kept_slots))
}

/// A container inherits its image's labels, so labels alone prove nothing: the name has to fit them. That of
/// what a script made begins with the job's; where it does not, the image must not carry the labels.
fn is_of_a_job(object: &Object) -> bool {
    let label = |key: &str| object.labels.get(key).map_or("", String::as_str);
    let (job, kind) = (label(JOB), label(KIND));
    let by_us = object.name == format!("longshore-{job}-{kind}");
    let by_broker = object.name.starts_with(&format!("longshore-{job}-x-"));
    !job.is_empty() && (by_us || (kind == BROKERED && (by_broker || !object.inherited)))
}

/// All that is one job's by its labels, and its images by their names, whoever lives.
pub fn of_job(objects: &[Object], job: &str) -> Vec<Doomed> {
    let cut_short = BTreeSet::from([job.to_owned()]);
    let never = Moment { unix: 0, uptime: 0 };
    let (agent_volume, slot_prefix) = ("", "");
    let host =
        Host { agent_volume, slot_prefix, kept_slots: u32::MAX, now: never, cut_short: &cut_short };
    let its = objects.iter().filter(|one| one.job() == Some(job));
    plan(&its.cloned().collect::<Vec<_>>(), |_| None, &host)
}

/// Containers that are none of ours: the host's own, and what jobs with the raw socket left. Nobody can
/// tell one from the other.
pub fn others(objects: &[Object]) -> impl Iterator<Item = &Object> {
    let ours = |one: &&Object| one.labels.contains_key(KIND) && is_of_a_job(one);
    objects.iter().filter(move |one| one.kind == Kind::Container && !ours(one))
}

#[cfg(test)]
mod tests;
