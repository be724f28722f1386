//! What a stage script asks of `gitlab-runner`: argv becomes a [`Command`]. Pure; what it does not know it
//! says so, for another binary to take over.

use super::artifacts::options::{self as artifacts, Download, Upload};
use super::cache::options::{self as cache, Archive, Extract};
use super::error::TransferError;
use super::given::{Given, Known};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Command {
    /// The guard that each script runs first.
    Version,
    /// `artifacts-uploader`.
    Upload(Box<Upload>),
    /// `artifacts-downloader`.
    Download(Download),
    /// `cache-archiver`.
    Archive(Archive),
    /// `cache-extractor`.
    Extract(Extract),
    /// Nothing of ours; the text names it.
    Foreign(String),
}

/// Reads argv without its first word.
///
/// # Errors
/// When an option that is known has a value that is not.
pub(super) fn parse(
    arguments: &[OsString],
    environment: &BTreeMap<OsString, OsString>,
) -> Result<Command, TransferError> {
    let Some(words) = arguments.iter().map(|word| word.to_str()).collect::<Option<Vec<_>>>() else {
        return Ok(Command::Foreign("an argument that is not UTF-8".into()));
    };
    let Some((command, words)) = words.split_first() else {
        return Ok(Command::Foreign("a call without a command".into()));
    };
    let read = |known: Known| Given::read(words, known, environment);
    let read = match *command {
        "--version" | "-version" | "-v" | "version" => return Ok(Command::Version),
        "artifacts-uploader" => read(artifacts::UPLOAD)
            .map(|given| artifacts::upload(&given).map(|upload| Command::Upload(Box::new(upload)))),
        "artifacts-downloader" => read(artifacts::DOWNLOAD)
            .map(|given| artifacts::download(&given).map(Command::Download)),
        "cache-archiver" => {
            read(cache::ARCHIVE).map(|given| cache::archive(&given).map(Command::Archive))
        }
        "cache-extractor" => {
            read(cache::EXTRACT).map(|given| cache::extract(&given).map(Command::Extract))
        }
        other => Err(format!("the command {other}")),
    };
    read.unwrap_or_else(|foreign| Ok(Command::Foreign(foreign)))
}
