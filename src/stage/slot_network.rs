//! Makes the network of a slot that has none yet, on a small range of addresses.
//!
//! Docker's own pools are some thirty ranges, and each network takes a whole one. So one of them is enough
//! for all slots: the daemon, which knows the routes of its host, is asked to choose one, and it is divided
//! among them. Which one it was stands on the slots' labels, so there is nothing to remember.

use std::path::Path;

use crate::engine::{Engine, EngineError, NetworkSummary};
use crate::host::routes;
use crate::plan::container::Labels;
use crate::plan::slot::{self, SLOT_PREFIX};
use crate::settings::Subnet;

use super::call::Call;
use super::error::CallError;
use super::hint;
use super::slot::SlotLock;

/// The range that a slot's addresses are taken of.
const POOL: &str = "longshore.pool";

/// The kind of the network that shows which range the daemon would choose.
const TRIAL: &str = "range";

/// How often a part is chosen before we give up; each time somebody else took it meanwhile.
const TRIES: usize = 8;

/// Makes the network of this slot; one that exists is fine.
///
/// # Errors
/// Ours: no addresses are left, or the daemon refuses.
pub(super) async fn make<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    name: &str,
) -> Result<(), CallError> {
    let _lock = lock(&call.settings.run_dir)?;
    let own = call.settings.docker.slot_pool;
    let mut maker = Maker { engine, call, name, own, taken: Vec::new() };
    for _ in 0..TRIES {
        if maker.try_once().await? {
            return Ok(());
        }
    }
    Err(CallError::system(format!(
        "failed to make the network {name}: other networks took each range of addresses first"
    )))
}

/// Many first jobs at once would each have the daemon choose a range.
fn lock(run_dir: &Path) -> Result<SlotLock, CallError> {
    SlotLock::take(run_dir, "networks.lock").map_err(|error| {
        let run_dir = run_dir.display();
        CallError::system(format!("failed to lock the networks in {run_dir}: {error}"))
    })
}

struct Maker<'a, E> {
    engine: &'a E,
    call: &'a Call<'a>,
    name: &'a str,
    /// The operator's pool.
    own: Option<Subnet>,
    /// What the daemon said is taken, though no network of its list is there.
    taken: Vec<Subnet>,
}

impl<E: Engine> Maker<'_, E> {
    /// Whether the network is there now.
    async fn try_once(&mut self) -> Result<bool, CallError> {
        let networks = self.engine.networks(None).await?;
        if networks.iter().any(|one| one.name == self.name) {
            return Ok(true);
        }
        let mut taken = self.taken.clone();
        taken.extend(networks.iter().flat_map(subnets));
        if let Some(pool) = self.own {
            taken.extend(slot::in_the_way(pool, routes::read()));
            let part = slot::free(pool, &taken).ok_or_else(|| self.used_up(pool))?;
            return self.create(pool, part).await;
        }
        let shared = pools(&networks).find_map(|pool| Some((pool, slot::free(pool, &taken)?)));
        match shared {
            Some((pool, part)) => self.create(pool, part).await,
            None => self.create_on_new_pool().await,
        }
    }

    /// Whether it was created; else another network overlaps this part.
    async fn create(&mut self, pool: Subnet, part: Subnet) -> Result<bool, CallError> {
        let labels = labels(Some(pool));
        match self.engine.create_network(self.name, Some(&part.to_string()), &labels).await {
            Err(error) if error.cause.contains("overlap") => {
                self.taken.push(part);
                Ok(false)
            }
            done => Ok(done.map(|()| true)?),
        }
    }

    /// Lets the daemon choose a range. Where that is no larger than a slot needs, it is the slot's.
    async fn create_on_new_pool(&mut self) -> Result<bool, CallError> {
        // A name of its own: a service could start on the slot's meanwhile. The job's, with labels by which
        // `reap` finds it where we are killed before its removal.
        let trial = self.call.plan.key.name(TRIAL);
        let chosen = self.chosen_for(&trial).await;
        // After a failed creation too: it may have had its effect, and only the answer was lost.
        let removed = self.engine.remove_network(&trial).await;
        if removed.is_err() {
            // The job fails by the first error; what this one leaves is for `reap`.
            drop(self.engine.remove_network(&trial).await);
        }
        let pool = chosen?;
        removed?;
        let first = pool.and_then(|pool| Some((pool, pool.parts(SLOT_PREFIX).next()?)));
        if let Some((pool, part)) = first {
            return self.create(pool, part).await;
        }
        let made = self.engine.create_network(self.name, None, &labels(None)).await;
        made.map(|()| true).map_err(no_addresses)
    }

    /// The range that the daemon chooses for a network of this name, where it is larger than a slot needs.
    async fn chosen_for(&self, trial: &str) -> Result<Option<Subnet>, CallError> {
        let labels = self.call.passing_labels(TRIAL);
        self.engine.create_network(trial, None, &labels).await.map_err(no_addresses)?;
        let networks = self.engine.networks(None).await?;
        let pool =
            networks.iter().find(|one| one.name == trial).and_then(|one| subnets(one).next());
        Ok(pool.filter(|pool| pool.prefix() < SLOT_PREFIX))
    }

    fn used_up(&self, pool: Subnet) -> CallError {
        CallError::system(format!(
            "failed to make the network {}: all of {pool} is taken by networks or routes of this host\n  \
             settings: [docker] slot_pool; `longshore reap` removes idle slots",
            self.name
        ))
    }
}

/// A slot belongs to the host, not to a job; `reap` removes it when idle.
fn labels(pool: Option<Subnet>) -> Labels {
    let pool = pool.map(|pool| (POOL.to_owned(), pool.to_string()));
    [("longshore.kind".to_owned(), "slot".to_owned())].into_iter().chain(pool).collect()
}

/// The IPv4 ones.
fn subnets(network: &NetworkSummary) -> impl Iterator<Item = Subnet> {
    network.subnets.iter().filter_map(|text| text.parse().ok())
}

/// The ranges that slots have been given parts of, each once, in the order of the slots' names.
fn pools(networks: &[NetworkSummary]) -> impl Iterator<Item = Subnet> {
    let mut seen: Vec<Subnet> = Vec::new();
    let labelled = networks.iter().filter_map(|one| one.labels.get(POOL)?.parse().ok());
    labelled.for_each(|pool| {
        if !seen.contains(&pool) {
            seen.push(pool);
        }
    });
    seen.into_iter()
}

/// An engine with its usual settings has addresses for about thirty networks, whoever makes them.
fn no_addresses(error: EngineError) -> CallError {
    if error.cause.contains("address pool") {
        return CallError::system(format!("{error}{}", hint::NO_ADDRESSES));
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Fault;

    fn failed(cause: &str) -> EngineError {
        let (verb, object) = ("create network", "longshore-slot-31".to_owned());
        let (fault, cause) = (Fault::NotFound, cause.to_owned());
        EngineError { verb, object, fault, cause, retry_after: None }
    }

    #[test]
    fn who_is_out_of_subnets_is_told_how_to_have_more() {
        let words = "could not find an available, non-overlapping IPv4 address pool among the defaults \
                     to assign to the network";
        let told = no_addresses(failed(words)).to_string();
        assert!(told.contains("slot_pool"), "{told}");
        let newer = no_addresses(failed("all predefined address pools have been fully subnetted"));
        assert!(newer.to_string().contains("slot_pool"), "{newer}");
        let other = no_addresses(failed("plugin \"x\" not found")).to_string();
        assert!(!other.contains("slot_pool"), "{other}");
    }

    #[test]
    fn a_pool_is_known_by_the_slots_on_it() {
        let network = |name: &str, pool: Option<&str>| NetworkSummary {
            name: name.to_owned(),
            labels: labels(pool.map(|pool| pool.parse().unwrap())),
            subnets: Vec::new(),
        };
        let all = [
            network("slot-0", Some("172.18.0.0/16")),
            network("slot-1", None),
            network("slot-2", Some("172.18.0.0/16")),
            network("slot-3", Some("192.168.0.0/20")),
        ];
        let found: Vec<String> = pools(&all).map(|pool| pool.to_string()).collect();
        assert_eq!(found, ["172.18.0.0/16", "192.168.0.0/20"]);
    }
}
