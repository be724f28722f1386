//! Longshore: a GitLab Runner custom executor that launches each job's containers as siblings on the
//! host's Docker engine, feeds them secrets from Vault, and leaves nothing behind.
//!
//! The rooms, and the one way through them:
//!
//! argv + environment + files -> [`job::JobContext`] (what GitLab said) with [`settings::Settings`]
//! (what the operator allows) -> [`plan::JobPlan`] (what we are going to do) -> [`secrets`] fill its
//! references, [`engine`] and [`agent`] act -> [`outcome::Outcome`] -> a number. Nothing flows back.
//! `tests/it/architecture.rs` keeps the walls.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests"))]

pub mod agent;
pub mod broker;
pub mod cli;
pub mod command;
pub mod engine;
pub mod host;
pub mod job;
pub mod joblog;
pub mod outcome;
pub mod pipeline;
pub mod plan;
pub mod secrets;
pub mod settings;
pub mod stage;
pub mod world;
