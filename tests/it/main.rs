//! All tests that drive the crate from outside, in one binary to link once.
mod masker;
