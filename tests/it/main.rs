//! All tests that drive the crate from outside, in one binary to link once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on must fail loudly"
)]

mod artifacts_archive;
mod artifacts_transfer;
mod artifacts_unpack;
mod fake_runner_calls;
mod fake_runner_endings;
mod support;
