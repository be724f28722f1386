//! Pipelines without GitLab: reads `.gitlab-ci.yml` and plays the part of GitLab and its runner for
//! `longshore local`. It calls the real binary and never reaches into a stage.

pub mod model;
pub mod rules;
pub mod yaml;
