//! A `.gitlab-ci.yml` run without GitLab: reads the file, plays GitLab's and GitLab Runner's part, and
//! calls the real binary's four commands as separate processes. It must not touch a job's containers.

pub mod args;
pub mod artifact_store;
mod caches;
pub mod console;
pub mod driver;
pub mod facts;
pub mod git_http;
pub mod given;
pub mod job_run;
pub mod listing;
pub mod local;
pub mod model;
pub mod multipart;
pub mod predefined;
pub mod report;
pub mod response;
pub mod rules;
pub mod schedule;
pub mod script;
pub mod server;
pub mod signals;
pub mod source;
pub mod spec;
pub mod stages;
pub mod surroundings;
pub mod workspace;
pub mod yaml;
