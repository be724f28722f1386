//! Removes what a job made. Idempotent; "already gone" is success; it collects what cannot be removed
//! and goes on, but not with a daemon that hangs.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};

use crate::engine::{Engine, EngineError, Fault, Removed};
use crate::host::reap::observe;
use crate::plan::removal::RemovalPlan;
use crate::plan::sweep::{self, Doomed, Kind};

/// How many objects of a kind are removed at once.
const AT_ONCE: usize = 8;

/// How long a container may take to go that somebody else's removal is at, and between two looks.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// How long a cleanup waits for a container that is still being made: most take less than 0.1 s.
const LATE: Duration = Duration::from_secs(2);

/// Removes containers side by side, then their volumes; answers what is left, and why.
pub async fn remove<E: Engine>(engine: &E, plan: &RemovalPlan) -> Vec<EngineError> {
    let containers =
        join_all(plan.containers.iter().map(|name| engine.remove_container(name))).await;
    let mut left: Vec<EngineError> = containers.into_iter().filter_map(Result::err).collect();
    if hangs(engine, &left).await {
        left.extend(plan.volumes.iter().map(|name| untried(Kind::Volume, name)));
        return left;
    }
    let volumes = join_all(plan.volumes.iter().map(|name| engine.remove_volume(name))).await;
    left.extend(volumes.into_iter().filter_map(Result::err));
    left
}

/// Removes a job's objects by their names, and then, where its script may have made some, whatever else is
/// the job's by its labels, and the images that are its alone; answers what is left, and why.
pub async fn remove_all<E: Engine>(engine: &E, plan: &RemovalPlan) -> Vec<EngineError> {
    let mut left = remove(engine, plan).await;
    if !plan.brokered || left.iter().any(|error| error.cause == UNTRIED) {
        return left;
    }
    match observe::of_job(engine, &plan.job).await {
        Ok(objects) => {
            let doomed = sweep::of_job(&objects, &plan.job);
            // What could not be removed at first has its second try in there.
            left.retain(|error| doomed.iter().all(|one| one.name != error.object));
            left.extend(sweep_up(engine, &doomed).await);
        }
        Err(error) => left.push(error),
    }
    left
}

/// Removes what a sweep planned, those that use others first; answers what is left, and why. A daemon that
/// hangs is waited for once, and not for each kind anew.
pub async fn sweep_up<E: Engine>(engine: &E, doomed: &[Doomed]) -> Vec<EngineError> {
    let of = |kind| doomed.iter().filter(move |one| one.kind == kind).map(|one| one.name.as_str());
    let containers: Vec<&str> = of(Kind::Container).collect();
    let mut left = Vec::new();
    let mut hung = false;
    for kind in [Kind::Container, Kind::Network, Kind::Volume, Kind::Image] {
        if hung {
            left.extend(of(kind).map(|name| untried(kind, name)));
            continue;
        }
        let its = match kind {
            Kind::Container | Kind::Network => remove_each(engine, kind, of(kind)).await,
            Kind::Volume | Kind::Image => remove_used(engine, (kind, of(kind)), &containers).await,
        };
        hung = hangs(engine, &its).await;
        left.extend(its);
    }
    left
}

/// Whether the daemon answers nothing any more: one object that it does not get done is no reason to leave
/// the others.
pub async fn hangs<E: Engine>(engine: &E, left: &[EngineError]) -> bool {
    left.iter().any(|error| error.fault.is_away()) && engine.ping().await.is_err()
}

const UNTRIED: &str = "not tried any more, as the daemon does not answer";

fn untried(kind: Kind, name: &str) -> EngineError {
    let verb = match kind {
        Kind::Container => "remove container",
        Kind::Network => "remove network",
        Kind::Volume => "remove volume",
        Kind::Image => "remove image",
    };
    let (object, cause) = (name.to_owned(), UNTRIED.to_owned());
    EngineError { verb, object, fault: Fault::Deadline, cause, retry_after: None }
}

/// Removes what these containers may have used, and waits for their end where it must.
async fn remove_used<'a, E: Engine>(
    engine: &E,
    (kind, names): (Kind, impl Iterator<Item = &'a str>),
    containers: &[&str],
) -> Vec<EngineError> {
    let left = remove_each(engine, kind, names).await;
    let is_used = |error: &EngineError| error.fault == Fault::Conflict;
    if left.iter().any(is_used) && !containers.is_empty() {
        // The daemon still is at the removal of a container that somebody asked for who was killed meanwhile.
        await_end(engine, containers).await;
    } else if left.is_empty() || kind != Kind::Image {
        return left;
    }
    let again = left.iter().map(|error| error.object.as_str());
    remove_each(engine, kind, again).await
}

async fn remove_each<'a, E: Engine>(
    engine: &E,
    kind: Kind,
    names: impl Iterator<Item = &'a str>,
) -> Vec<EngineError> {
    // Docker 20.10 knows no end to an image that two of its names are taken from at once: "unrecognized image ID".
    let at_once = if kind == Kind::Image { 1 } else { AT_ONCE };
    // Once the daemon let one wait until the end, those that go well have gone: the others are the next one's.
    let late = Cell::new(false);
    let removals = stream::iter(names.map(async |name| {
        if late.get() {
            return Err(untried(kind, name));
        }
        let done = one(engine, kind, name).await;
        late.set(late.get() || done.as_ref().is_err_and(|error| error.fault.is_away()));
        done
    }));
    removals.buffer_unordered(at_once).filter_map(async |done| done.err()).collect().await
}

/// Removes containers that the daemon may still be making, and waits a while for those that are not there yet;
/// answers those that came.
pub async fn remove_late<E: Engine>(engine: &E, names: &BTreeSet<String>) -> BTreeSet<String> {
    let mut came = BTreeSet::new();
    let all = async {
        while came.len() < names.len() {
            for name in names {
                if !came.contains(name)
                    && matches!(engine.remove_container(name).await, Ok(Removed::Gone))
                {
                    came.insert(name.clone());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    // What comes later is the next reap's.
    drop(tokio::time::timeout(LATE, all).await);
    came
}

/// Waits until none of these is there any more, for a while.
async fn await_end<E: Engine>(engine: &E, containers: &[&str]) {
    let gone = async {
        for name in containers {
            while matches!(engine.inspect(name).await, Ok(Some(_))) {
                tokio::time::sleep(LOOK).await;
            }
        }
    };
    // What is not gone by then is told as what it holds.
    drop(tokio::time::timeout(PATIENCE, gone).await);
}

async fn one<E: Engine>(engine: &E, kind: Kind, name: &str) -> Result<Removed, EngineError> {
    let removed = match kind {
        Kind::Container => engine.remove_container(name).await,
        Kind::Network => engine.remove_network(name).await,
        Kind::Volume => engine.remove_volume(name).await,
        // The image goes too, where it has no other name and no other image stands on it.
        Kind::Image => engine.remove_image(name).await,
    };
    match removed {
        // A job took the idle slot after somebody had looked: it is that job's now.
        Err(error) if kind == Kind::Network && error.fault == Fault::Conflict => {
            Ok(Removed::Absent)
        }
        removed => removed,
    }
}
