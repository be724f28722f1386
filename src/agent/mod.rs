//! The agent: PID 1 of a job's containers, and the driver's side of the conversation with it.
//!
//! `protocol` (messages), `request` and `frame` (bytes, one direction each) are shared and pure. In
//! the container: `pid1` is the process, `sessions` decides, `wire` reads and writes, `container` does
//! Init, `launch` starts a stage, `stage` sees it through, `pump`, `outflow` and `pause` carry its output,
//! `reaper` collects and kills, `mask` takes values from scripts, `socket` and `tunnels` carry Docker
//! clients to the driver (`inbox` holds what was received, on both sides), `sys` holds the only `unsafe` code. On the host: `client`. Nothing here
//! knows of jobs or of the container engine.

mod cgroup;
pub mod client;
mod container;
pub mod frame;
pub mod gitlab_runner;
mod identity;
mod inbox;
mod launch;
pub mod mask;
mod memory;
mod outflow;
mod pause;
mod pid1;
mod probe;
pub mod protocol;
mod pump;
mod reaper;
pub mod request;
mod sessions;
mod socket;
mod stage;
mod sys;
mod tunnels;
mod usage;
mod wire;

pub use pid1::{AgentError, run};
