//! Collects argv, environment, files and stdio; calls the library; returns the number.
fn main() {}
