//! A build's context on its way to the daemon: everything passes as it comes, but for its end. What the
//! job's Dockerfile says is judged once all of it is there, and the daemon gets another file, written from
//! what was read: one instruction a line, and the ids of images instead of their names. Pure.
//!
//! The way: [`Packing`] unpacks what is compressed; [`Context::push`] passes each piece on and keeps the
//! Dockerfile; after the last one [`Context::finish`] gives its text; [`Recipe::read`] judges it and tells which
//! images it needs; the
//! forwarder pulls what is to be pulled and asks the daemon for their [`Facts`]; [`Recipe::write`] writes
//! the file and [`end`] the archive's end with it, under a name that nobody can guess (the query's
//! `dockerfile`, so chosen before the request is sent). Where any of this refuses, the request to the
//! daemon is broken off: it builds nothing before the archive has ended.

mod archive;
mod context;
mod dockerfile;
mod packing;
mod recipe;
#[cfg(test)]
mod tests;
mod variables;
mod words;

pub use archive::end;
pub use context::{Context, Found};
pub use packing::Packing;
pub use recipe::{Facts, Needed, Recipe, When};
