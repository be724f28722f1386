//! The conductors: one file for each of the runner's four calls, and what they share. They decide
//! nothing that `plan` could decide, and know the engine and Vault only by their ports.

pub mod agent_volume;
pub mod attach;
pub mod call;
pub mod cleanup;
pub mod config;
pub mod containers;
pub mod error;
pub mod hint;
mod lost;
mod parent;
pub mod prepare;
mod prune;
mod pull;
pub mod removal;
pub mod run;
pub mod sink;
mod slot;
pub mod vault;
mod verdict;
pub mod worker;
