//! The agent: PID 1 of a job's containers, and the driver's side of the conversation with it.

pub mod artifacts;
pub mod protocol;
