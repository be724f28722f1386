//! What the tests share: a stand-in for GitLab Runner, its job JSON and stage scripts, and a small
//! GitLab API. Nothing in here tests anything by itself, and nothing in here is shipped.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its own part of this"
)]

pub mod api;
pub mod call;
pub mod calls;
pub mod environment;
pub mod fake_runner;
pub mod job_json;
pub mod job_shape;
pub mod lifecycle;
pub mod recorder;
pub mod running;
pub mod scripts;
pub mod stand_in;
