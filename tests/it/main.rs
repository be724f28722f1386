//! All tests that drive the crate from outside, in one binary to link once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on must fail loudly"
)]

mod agent_frames;
mod agent_identity;
mod agent_load;
mod agent_masks;
mod agent_sessions;
mod agent_stages;
mod agent_support;
mod agent_tunnels;
mod architecture;
mod artifacts_archive;
mod artifacts_transfer;
mod artifacts_unpack;
mod bad_input;
mod broker_attacks;
mod broker_clients;
mod broker_push;
mod broker_transport;
mod cache_bucket;
mod cache_local;
mod daemon_restart;
mod engine_contract;
mod engine_faults;
mod engine_stand_in;
mod engine_wire;
mod fake_runner_calls;
mod fake_runner_endings;
mod init;
mod kill_drill;
mod kill_drill_cold;
mod local_cancel;
mod local_conditions;
mod local_run;
mod local_server;
mod local_support;
mod masker;
mod plan_rules;
mod plan_services;
mod plans;
mod properties;
mod real_admission;
mod real_broker;
mod real_broker_bake;
mod real_broker_logins;
mod real_broker_registry;
mod real_cache;
mod real_canary;
mod real_cancel;
mod real_checkout;
mod real_concurrency;
mod real_failures;
mod real_gc;
mod real_images;
mod real_isolation;
mod real_jobs;
mod real_lease_race;
mod real_leases;
mod real_ledger;
mod real_lfs;
mod real_logins;
mod real_masks;
mod real_output;
mod real_prune;
mod real_reap;
mod real_registry;
mod real_secrets;
mod real_services;
mod real_services_ready;
mod real_shells;
mod real_slots;
mod real_sources;
mod real_stages;
mod real_status;
mod real_volumes;
mod reap_faults;
mod registry_prune;
mod stages_over_fakes;
mod stages_pruning;
mod support;
mod tree;
mod vault;
mod vault_access;
mod vault_check;
mod vault_configured;
mod vault_database;
mod vault_enroll;
mod vault_faults;
mod vault_leases;
mod vault_login;
mod vault_rotate;
