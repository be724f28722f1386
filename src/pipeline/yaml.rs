//! Reads a `.gitlab-ci.yml` into a [`Pipeline`]: the subset `longshore local` runs. Everything else
//! is an error that names file, line, job and key; nothing is passed over in silence. Touches no
//! file and knows no environment.

mod cache;
mod fault;
mod file;
mod job;
mod keys;
mod node;
mod service;
mod value;

#[cfg(test)]
mod tests;

pub use fault::{Fault, PipelineError};

use super::model::Pipeline;

/// Reads the text of a CI file; `file` is the name errors give it.
///
/// # Errors
/// [`PipelineError`] for the first thing that is no YAML, no GitLab CI, or outside the subset.
pub fn parse(text: &str, file: &str) -> Result<Pipeline, PipelineError> {
    node::load(text).and_then(|root| file::pipeline(&root)).map_err(|problem| problem.within(file))
}
