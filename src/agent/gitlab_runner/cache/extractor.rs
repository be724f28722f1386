//! `cache-extractor`: fetches the archive from the bucket where that is newer than the one on this host, and
//! unpacks it into the project directory.

use super::super::archive::unpack;
use super::super::error::TransferError;
use super::super::retry::with_retries;
use super::super::say;
use super::local;
use super::object::Object;
use super::options::Extract;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Restores a cache as the options say.
///
/// # Errors
/// When there is none, or the archive is unfit; the script goes on to the next key then. A bucket that does
/// not answer is an error even where this host has an older archive, as in GitLab's binary.
pub(crate) async fn extract(
    options: &Extract,
    project: &Path,
    notes: &mut (dyn Write + Send),
) -> Result<(), TransferError> {
    let place = project.join(&options.file);
    if options.bucket.go_cloud.is_some() {
        let missing = TransferError::GoCloud;
        if local::modified(&place).is_none() {
            return Err(missing);
        }
        say(notes, &format!("WARNING: {missing}; what this host has is taken"));
    } else if let Some(object) = choose(options).await? {
        let fetched =
            with_retries(options.bucket.patience, notes, |_| object.fetch(&place)).await?;
        if let Some(fetched) = fetched {
            local::note(&place, &fetched.metadata)?;
            say(notes, &format!("downloaded {} bytes", fetched.length));
        }
    }
    let archive = File::open(&place).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => TransferError::NoCache { path: options.file.clone() },
        _ => local::error("read", &place, source),
    })?;
    let count = unpack(archive, project)?;
    say(notes, &format!("restored {count} files and directories"));
    Ok(())
}

/// The object to fetch: the alternate one where it alone is there, or is newer.
async fn choose(options: &Extract) -> Result<Option<Object>, TransferError> {
    let bucket = &options.bucket;
    let Some(url) = &bucket.url else { return Ok(None) };
    if let Some(alternate) = &options.alternate_url {
        let asked =
            |head: &Option<String>, url: &String| Object::new(bucket, head.as_ref().unwrap_or(url));
        let ours = asked(&options.head_url, url)?.modified().await;
        let other = asked(&options.alternate_head_url, alternate)?.modified().await;
        // An absent one is older than any.
        if other > ours {
            return Object::new(bucket, alternate).map(Some);
        }
    }
    Object::new(bucket, url).map(Some)
}
