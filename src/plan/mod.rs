//! What we are going to do for a job, worked out before anything is touched. Pure: no daemon, no file,
//! no environment, no clock, no randomness.

pub mod container;
