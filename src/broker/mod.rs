//! The job's Docker socket, brokered: what a job may ask of the host's daemon, and what becomes of it.
//! Bytes of the job are never passed on: each request is read into a closed type, judged, and written anew.
//!
//! The way of a request:
//! [`request::Head`] -> [`request::route`] (which endpoint, what body to read) -> [`request::Request`]
//! -> [`policy::decide`] with the [`view::JobView`] -> [`policy::Decision`] -> the forwarder does what
//! [`outgoing::Outgoing`] says, tells the view by its [`outgoing::Note`] what has become of it, and
//! passes the answer on through [`answer`].
//!
//! A [`connection`] is read strictly ([`transport`]), its request goes through an `exchange` with what the
//! stage's requests share ([`session`], `pace`), and over [`forward`] to the daemon; `upload`, `relay`, `documents`,
//! `links`, `image_volumes`, `committed`, `recount` and `raw` carry what belongs to it; [`record`] is what the ledger is told of images.
//! All else in this room is pure: no socket, no clock, no randomness.

pub mod answer;
pub mod build;
mod building;
mod committed;
pub mod connection;
mod documents;
mod exchange;
pub mod forward;
mod image_volumes;
mod links;
pub mod name;
pub mod outgoing;
mod pace;
pub mod policy;
mod raw;
pub mod record;
mod recount;
pub mod refusal;
mod registry;
pub mod relabel;
mod relay;
pub mod request;
pub mod session;
pub mod transport;
mod upload;
pub mod view;
pub mod workspace;

#[cfg(test)]
mod stand_in;
