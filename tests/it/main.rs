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
mod agent_sessions;
mod agent_stages;
mod agent_support;
mod architecture;
mod engine_contract;
mod engine_faults;
mod engine_stand_in;
mod engine_wire;
mod fake_runner_proof;
mod masker;
mod plans;
mod properties;
mod support;
