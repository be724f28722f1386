//! What the tests stand on: real servers, and scripted ones for what real servers will not do. Nothing
//! in here tests anything by itself, and nothing in here is shipped.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its own part of this"
)]

pub mod bao;
pub mod fake_vault;
pub mod vault;
