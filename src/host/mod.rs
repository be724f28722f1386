//! What belongs to the host rather than to one job: who owns objects, the ledger, removing leftovers.

pub mod broker;
pub mod capacity;
pub mod gc;
pub mod init;
pub mod last_use;
pub mod lease;
pub mod ledger;
pub mod orphans;
pub mod owner;
pub mod prune;
pub mod queue;
pub mod reap;
pub mod routes;
pub mod shared_file;
pub mod space;
pub mod status;
pub mod totals;
pub mod vault;
