//! `cache-archiver`: packs files into the cache directory and, where the runner signed an address, puts the
//! archive into the bucket. Nothing is packed or sent when no file is newer than the archive.

use super::super::archive::{Packing, collect, pack};
use super::super::error::TransferError;
use super::super::retry::with_retries;
use super::super::say;
use super::local::{self, Draft};
use super::object::Object;
use super::options::Archive;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bytes of the archive that go to disk at once.
const BUFFER: usize = 256 * 1024;

/// Makes and puts a cache as the options say; finding nothing is a warning, as in GitLab's binary.
///
/// # Errors
/// When files cannot be read, the cache directory cannot be written, or the bucket does not take it.
pub(crate) async fn archive(
    options: &Archive,
    project: &Path,
    notes: &mut (dyn Write + Send),
) -> Result<(), TransferError> {
    let place = project.join(&options.file);
    let alternate = options.alternate_file.as_ref().map(|file| project.join(file));
    local::adopt(&place, alternate.as_deref(), notes);
    let collection = collect(&options.selection, project)?;
    for note in &collection.notes {
        say(notes, note);
    }
    let paths: Vec<PathBuf> = collection.paths.into_iter().collect();
    if paths.is_empty() {
        say(notes, "WARNING: no files to cache");
        return Ok(());
    }
    if is_up_to_date(&place, &paths, project) {
        say(notes, "the archive is up to date");
        // It may have come from the key's other name, and the bucket may lack it under this one.
        let moved = alternate.is_some_and(|alternate| alternate != place);
        return if moved && !is_in_bucket(options).await {
            put(options, &place, notes).await
        } else {
            Ok(())
        };
    }
    make(options, paths, (project, &place), notes)?;
    local::note(&place, &metadata(options, project)?)?;
    put(options, &place, notes).await
}

/// Whether nothing changed since the archive was made.
fn is_up_to_date(place: &Path, paths: &[PathBuf], project: &Path) -> bool {
    let Some(made) = local::modified(place) else { return false };
    let changed = |path: &PathBuf| fs::symlink_metadata(project.join(path))?.modified();
    paths.iter().all(|path| changed(path).is_ok_and(|changed| changed <= made))
}

fn make(
    options: &Archive,
    paths: Vec<PathBuf>,
    (project, place): (&Path, &Path),
    notes: &mut (dyn Write + Send),
) -> Result<(), TransferError> {
    let started = Instant::now();
    let count = paths.len();
    let packing = Packing {
        project: project.to_owned(),
        paths,
        format: options.format,
        level: options.level,
    };
    let draft = Draft::beside(place)?;
    let mut sink = BufWriter::with_capacity(BUFFER, draft.file()?);
    let left_out = pack(&packing, &mut sink)?;
    sink.flush().map_err(|source| local::error("write", place, source))?;
    drop(sink);
    draft.keep(None)?;
    for note in &left_out {
        say(notes, note);
    }
    let bytes = fs::metadata(place).map_or(0, |about| about.len());
    let took = started.elapsed().as_secs_f64();
    say(notes, &format!("packed {count} files and directories into {bytes} bytes in {took:.1} s"));
    Ok(())
}

/// What the script says of the cache, by option, environment or its own file.
fn metadata(options: &Archive, project: &Path) -> Result<BTreeMap<String, String>, TransferError> {
    let mut metadata = options.metadata.clone();
    if let Some(file) = &options.env_file {
        let variables = local::variables(&project.join(file))?;
        let text = variables.get("CACHE_METADATA").map_or("{}", String::as_str);
        let pairs = serde_json::from_str::<BTreeMap<String, String>>(text);
        metadata.extend(pairs.map_err(|error| TransferError::Option {
            option: "CACHE_METADATA".into(),
            problem: format!("is no JSON object of texts: {error}"),
        })?);
    }
    Ok(metadata)
}

async fn is_in_bucket(options: &Archive) -> bool {
    match options.check_url.as_ref().map(|url| Object::new(&options.bucket, url)) {
        Some(Ok(object)) => object.exists().await,
        _ => false,
    }
}

async fn put(
    options: &Archive,
    place: &Path,
    notes: &mut (dyn Write + Send),
) -> Result<(), TransferError> {
    let bucket = &options.bucket;
    if bucket.go_cloud.is_some() {
        return Err(TransferError::GoCloud);
    }
    let Some(url) = &bucket.url else {
        say(notes, "the cache stays on this host: the runner has no shared cache");
        return Ok(());
    };
    let bytes = fs::metadata(place).map_err(|source| local::error("read", place, source))?.len();
    if options.largest_upload.is_some_and(|largest| bytes > largest) {
        let largest = options.largest_upload.unwrap_or_default();
        let text =
            format!("of {bytes} bytes is over the limit of {largest}, it stays on this host");
        say(notes, &format!("WARNING: the archive {text}"));
        return Ok(());
    }
    let object = Object::new(bucket, url)?;
    let started = Instant::now();
    let sent =
        with_retries(bucket.patience, notes, |_| object.put(place, &options.headers)).await?;
    say(notes, &format!("uploaded {sent} bytes in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}
