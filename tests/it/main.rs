//! All tests that drive the crate from outside, in one binary to link once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod engine_contract;
mod engine_faults;
mod engine_stand_in;
mod engine_wire;
mod support;
