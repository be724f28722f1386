//! The path at which the job's Docker clients connect: makes a socket there, whatever the image has in
//! its place, and takes it away again. It serves nobody.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::UnixListener;

/// Where the socket is made when the image leaves no room for it where clients look: `/dev` is the
/// container's own tmpfs, read-only root or not.
const ELSEWHERE: &str = "/dev/longshore-docker.sock";

/// Everybody in the container may connect, as with the mask socket: the container is the border.
const NOT_FOR_ALL: Mode = Mode::from_raw_mode(0o111);

/// A socket that goes with its value.
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at this path, or elsewhere where that cannot be.
    ///
    /// # Errors
    /// Neither place takes a socket; the error is that of the first.
    pub(super) fn listen(path: &Path) -> io::Result<Self> {
        Self::at(path).or_else(|error| Self::at(Path::new(ELSEWHERE)).map_err(|_| error))
    }

    fn at(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            make_directory(parent)?;
        }
        clear(path)?;
        // Set for the moment of `bind`: a mode set afterwards would follow a link put there meanwhile.
        let before = rustix::process::umask(NOT_FOR_ALL);
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        Ok(Self { listener: listener?, path: path.to_owned() })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = clear(&self.path); // a script may have removed it, or put something in its place
    }
}

/// Makes a directory and its parents; `/var/run` is often a link, and in a bare image one to nowhere.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    match fs::read_link(path) {
        Ok(target) => fs::create_dir_all(path.parent().unwrap_or(path).join(target)),
        Err(_) => fs::create_dir_all(path),
    }
}

/// Removes what is there: a stale socket or file, a link, the empty directory that a bind mount left.
fn clear(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if kind.is_dir() {
        return fs::remove_dir(path);
    }
    if kind.is_socket() || kind.is_file() || kind.is_symlink() {
        return fs::remove_file(path);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
