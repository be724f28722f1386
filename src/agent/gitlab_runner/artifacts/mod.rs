//! `artifacts-uploader` and `artifacts-downloader`: archives that travel to GitLab and back with the job's
//! token. How archives are made and opened is not known here.

mod coordinator;
pub(crate) mod download;
pub(crate) mod options;
mod provenance;
pub(crate) mod upload;
