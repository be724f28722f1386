//! `cache-archiver` and `cache-extractor`: files that stay in the cache directory from job to job, and
//! travel to a bucket by addresses that the runner has signed. No token and no credentials are known here.

pub(crate) mod archiver;
pub(crate) mod extractor;
mod local;
mod object;
pub(crate) mod options;
