//! All tests that drive the crate from outside, in one binary to link once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on must fail loudly"
)]

mod agent_stages;
mod agent_support;
mod engine_contract;
mod fake_runner_proof;
mod engine_faults;
mod engine_stand_in;
mod engine_wire;
mod local_cancel;
mod local_run;
mod local_server;
mod local_support;
mod support;
mod masker;
