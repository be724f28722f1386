//! Secrets: types that cannot be printed, the masker, and the port that fetches them.

pub mod masker;
pub mod value;

pub use masker::{MaskSet, Masker};
pub use value::Secret;
