//! The stand-in for GitLab's `gitlab-runner` inside a container: what stage scripts ask of it to move
//! artifacts and caches. What it does not know goes to the image's own binary; it never reads a runner's settings.

mod archive;
mod artifacts;
mod cache;
mod error;
mod given;
mod http;
mod options;
mod retry;

pub use error::TransferError;

use cache::options::{Archive, Extract};
use options::Command;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

/// Names by which stage scripts call this binary.
pub const NAMES: [&str; 2] = ["gitlab-runner", "gitlab-runner-helper"];

/// Set for the binary that is handed over to, so that two of us never call each other for ever.
const HANDED_OVER: &str = "LONGSHORE_HANDED_OVER";

/// A call by one of [`NAMES`]: everything it may know of the world.
#[derive(Debug)]
pub struct Call {
    /// argv with its first word.
    pub arguments: Vec<OsString>,
    /// The environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// The project directory: scripts change into it first.
    pub directory: PathBuf,
    /// This very binary, so that it is not taken for the image's own.
    pub executable: PathBuf,
}

/// Does what a script asks; returns the exit number. The version goes to `output`, all else to `notes`.
///
/// Where the image's own binary is to do it, this process becomes that binary and the call never returns.
pub fn run(call: &Call, output: &mut dyn Write, notes: &mut (dyn Write + Send)) -> u8 {
    match answer(call, output, notes) {
        Ok(()) => 0,
        Err(error) => {
            say(notes, &format!("ERROR: {}", error.chain()));
            1
        }
    }
}

fn answer(
    call: &Call,
    output: &mut dyn Write,
    notes: &mut (dyn Write + Send),
) -> Result<(), TransferError> {
    let words = call.arguments.get(1..).unwrap_or_default();
    let command = match options::parse(words, &call.environment)? {
        Command::Version => {
            say(output, &format!("Version:      {} (longshore)", env!("CARGO_PKG_VERSION")));
            return Ok(());
        }
        Command::Foreign(what) => return hand_over(call, what),
        Command::Archive(Archive { bucket, .. }) | Command::Extract(Extract { bucket, .. })
            if bucket.go_cloud.is_some() && other_binary(call).is_some() =>
        {
            return hand_over(call, "option --gocloud-url".into());
        }
        known => known,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| TransferError::File {
        verb: "start a runtime in",
        path: call.directory.clone(),
        source,
    })?;
    let temporary = call.environment.get(&OsString::from("TMPDIR"));
    let temporary = temporary.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    match command {
        Command::Upload(options) => {
            runtime.block_on(artifacts::upload::upload(&options, &call.directory, notes))
        }
        Command::Download(options) => runtime.block_on(artifacts::download::download(
            &options,
            &call.directory,
            &temporary,
            notes,
        )),
        Command::Archive(options) => {
            runtime.block_on(cache::archiver::archive(&options, &call.directory, notes))
        }
        Command::Extract(options) => {
            runtime.block_on(cache::extractor::extract(&options, &call.directory, notes))
        }
        Command::Version | Command::Foreign(_) => Ok(()),
    }
}

/// Becomes the image's own `gitlab-runner`, argv unchanged.
fn hand_over(call: &Call, what: String) -> Result<(), TransferError> {
    let Some(program) = other_binary(call) else {
        return Err(TransferError::Unknown { what });
    };
    let mut command = std::process::Command::new(&program);
    if let Some((name, rest)) = call.arguments.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(&call.environment).env(HANDED_OVER, "1").current_dir(&call.directory);
    let source = command.exec();
    Err(TransferError::HandOver { program, source })
}

/// The first program on PATH that has one of [`NAMES`] and is not this binary under another path.
fn other_binary(call: &Call) -> Option<PathBuf> {
    if call.environment.contains_key(&OsString::from(HANDED_OVER)) {
        return None;
    }
    let own = std::fs::metadata(&call.executable).ok();
    let is_other = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|found| {
            let same = own
                .as_ref()
                .is_some_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()));
            found.is_file() && found.permissions().mode() & 0o111 != 0 && !same
        })
    };
    let path = call.environment.get(&OsString::from("PATH"))?;
    let own_directory = call.executable.parent().unwrap_or(Path::new("/"));
    path.as_bytes()
        .split(|byte| *byte == b':')
        .map(|directory| Path::new(OsStr::from_bytes(directory)))
        .filter(|directory| directory.is_absolute() && *directory != own_directory)
        .flat_map(|directory| NAMES.map(|name| directory.join(name)))
        .find(is_other)
}

/// One line to the job's log. Where nobody reads it any more there is nobody to tell either.
fn say(notes: &mut dyn Write, line: &str) {
    let _ = writeln!(notes, "{line}");
}
