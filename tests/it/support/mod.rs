//! What the tests share: stand-ins for GitLab Runner, the engine, the daemon and Vault, job JSON and stage
//! scripts, a small GitLab API, and names that cannot collide. Nothing in here tests anything by itself,
//! and nothing in here is shipped.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its own part of this"
)]

pub mod api;
pub mod bao;
pub mod blame;
pub mod brokered;
pub mod cache_script;
pub mod call;
pub mod calls;
pub mod certificates;
pub mod container;
pub mod drill;
pub mod environment;
pub mod fake_docker;
pub mod fake_engine;
pub mod fake_registry;
pub mod fake_runner;
pub mod fake_vault;
pub mod file_points;
pub mod filled;
pub mod git_server;
pub mod image;
pub mod in_process;
pub mod job_json;
pub mod job_shape;
pub mod kill_points;
pub mod left;
pub mod lifecycle;
pub mod loopback;
pub mod names;
pub mod own_daemon;
pub mod own_slots;
pub mod postgres;
pub mod private_engine;
pub mod real;
pub mod real_registry;
pub mod recorder;
pub mod running;
pub mod scripts;
pub mod stages;
pub mod stand_in;
pub mod tag_registry;
pub mod vault;
pub mod vault_command;
pub mod waiting;
