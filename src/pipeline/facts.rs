//! What all jobs of a pipeline share, gathered from the command line, the clock and the repository.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::stage::error::CallError;
use crate::world::World;

use super::args::LocalArgs;
use super::given;
use super::source::Source;
use super::spec::PipelineFacts;

/// Gathers it; `server_url` is where jobs reach us.
///
/// # Errors
/// When the caller's variables cannot be read.
pub fn gather(
    args: &LocalArgs,
    world: &World,
    source: Source,
    server_url: String,
) -> Result<PipelineFacts, CallError> {
    let now = (world.clock)();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let project = args.project.clone().unwrap_or_else(|| default_project(&source));
    Ok(PipelineFacts {
        project_id: number(&project, &source.directory),
        source,
        project,
        // Names of containers follow from it: two pipelines of one second must differ.
        pipeline_id: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        pipeline_iid: args.pipeline_iid.unwrap_or(since.as_secs()),
        server_url,
        created_at: humantime::format_rfc3339_seconds(now).to_string(),
        given: given::variables(args, &world.directory)?,
    })
}

/// `local/NAME`, after the directory; `.git` of a bare repository is no part of the name.
fn default_project(source: &Source) -> String {
    let name = source.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("local/{}", name.strip_suffix(".git").unwrap_or(&name))
}

/// A number for a project that has none: stable, so that what is kept by project is found again. Two
/// directories of one name are two projects, whose caches must not meet.
fn number(project: &str, directory: &Path) -> u64 {
    let mut hash = Sha256::new();
    hash.update(project);
    hash.update([0]);
    hash.update(directory.as_os_str().as_bytes());
    hash.finalize().iter().take(4).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// 20 random bytes as hex; opens sources and artifacts to one job.
pub fn token() -> String {
    let mut bytes = [0_u8; 20];
    // The pool is ready long before any user space; a token of zeros would still only open this pipeline.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_checkouts_of_one_name_are_two_projects() {
        let of = |directory: &str| number("local/app", directory.as_ref());
        assert_eq!(of("/home/a/app"), of("/home/a/app"));
        assert_ne!(of("/home/a/app"), of("/home/b/app"));
    }
}
