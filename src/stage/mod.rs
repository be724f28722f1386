//! The conductors: one file for each of the runner's four calls, and what they share. They decide
//! nothing that `plan` could decide, and know the engine and Vault only by their ports.

pub mod again;
pub mod agent_volume;
pub mod attach;
pub mod call;
pub mod cleanup;
pub mod config;
pub mod containers;
pub mod credential_helper;
pub mod credentials;
pub mod delivery;
pub mod diagnosis;
pub mod ending;
pub mod error;
pub mod hint;
pub mod leases;
pub mod lost;
pub mod masking;
pub mod parent;
pub mod prepare;
pub mod prune;
pub mod pull;
pub mod ready;
pub mod removal;
pub mod run;
pub mod seccomp;
pub mod service_report;
pub mod service_stream;
pub mod services;
pub mod shells;
pub mod sink;
pub mod slot;
pub mod timings;
pub mod vault;
pub mod verdict;
pub mod worker;
