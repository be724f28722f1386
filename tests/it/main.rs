//! All tests that drive the crate from outside, in one binary to link once.

mod agent_frames;
mod agent_identity;
mod agent_load;
mod agent_sessions;
mod agent_stages;
mod agent_support;
