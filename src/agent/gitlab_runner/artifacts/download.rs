//! `artifacts-downloader`: fetches an archive to a nameless file on disk and unpacks it into the project
//! directory. Nothing is unpacked before all of it is there.

use super::super::archive::unpack;
use super::super::error::TransferError;
use super::super::http::no_answer;
use super::super::retry::with_retries;
use super::super::say;
use super::coordinator::{COORDINATOR, Coordinator};
use super::options::Download;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Downloads and unpacks another job's artifacts.
///
/// # Errors
/// When GitLab does not hand them out, or the archive is unfit.
pub(crate) async fn download(
    options: &Download,
    project: &Path,
    temporary: &Path,
    notes: &mut (dyn Write + Send),
) -> Result<(), TransferError> {
    let coordinator = Coordinator::new(&options.target, Some(options.target.answer_timeout))?;
    let staging = options.staging_dir.as_ref().map(PathBuf::from);
    let places = [staging, Some(temporary.to_owned()), Some(project.to_owned())];
    let file = with_retries(options.target.patience, notes, |made| {
        // Where object storage is out of reach, GitLab itself may hand the archive out.
        fetch(&coordinator, options.direct && made == 0, &places)
    })
    .await?;
    let count = unpack(file, project)?;
    let job = options.target.job;
    say(notes, &format!("downloaded {count} files and directories from job {job}"));
    Ok(())
}

async fn fetch(
    coordinator: &Coordinator<'_>,
    direct: bool,
    places: &[Option<PathBuf>],
) -> Result<File, TransferError> {
    let direct = if direct { "true" } else { "" };
    let address = coordinator.address(&[("direct_download", direct)]);
    let mut response = coordinator.send(address, reqwest::Client::get).await?;
    let (mut file, place) = nameless_file(places)?;
    let failed = |source| TransferError::File { verb: "write to", path: place.clone(), source };
    let url = response.url().clone();
    while let Some(chunk) =
        response.chunk().await.map_err(|source| no_answer(COORDINATOR, &url, source))?
    {
        file.write_all(&chunk).map_err(failed)?;
    }
    file.rewind().map_err(failed)?;
    Ok(file)
}

/// A file that is gone when it is closed, in the first place that takes one.
fn nameless_file(places: &[Option<PathBuf>]) -> Result<(File, PathBuf), TransferError> {
    let mut refusal = None;
    for place in places.iter().flatten() {
        let path = place.join(format!(".longshore-artifacts-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create_new(true).mode(0o600).open(&path);
        match opened.and_then(|file| fs::remove_file(&path).map(|()| file)) {
            Ok(file) => return Ok((file, place.clone())),
            Err(source) => {
                refusal = Some(TransferError::File { verb: "create", path, source });
            }
        }
    }
    Err(refusal.unwrap_or_else(|| TransferError::File {
        verb: "create",
        path: PathBuf::new(),
        source: io::ErrorKind::NotFound.into(),
    }))
}
