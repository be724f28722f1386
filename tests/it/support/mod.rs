//! What the tests stand on: stand-ins for the engine and the daemon, and names that cannot collide.

pub(crate) mod fake_docker;
pub(crate) mod fake_engine;
pub(crate) mod names;
