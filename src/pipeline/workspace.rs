//! Directories of a pipeline and of each job, gone when they are dropped: they hold tokens and scripts
//! with every variable in clear.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::world::World;

/// A directory of mode 0700 that is removed with all its content.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
}

impl Workspace {
    /// A new directory below `parent`.
    ///
    /// # Errors
    /// When it cannot be made, or is there already.
    pub fn new(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only we can read; what was there before goes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &[u8], mode: u32) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent()
            && !parent.exists()
        {
            DirBuilder::new().mode(0o700).create(parent)?;
        }
        if path.exists() {
            fs::remove_file(&path)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        file.write_all(content)?;
        Ok(path)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // Nothing more can be done from here; the directory is ours alone.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Where scripts lie while they run: in memory where this host has such a place.
pub fn parent_of_scripts(world: &World) -> PathBuf {
    if let Some(directory) = world.variable("TMPDIR") {
        return PathBuf::from(directory);
    }
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { PathBuf::from("/tmp") }
}

/// Where artifacts lie while the pipeline runs.
pub fn parent_of_artifacts(world: &World) -> PathBuf {
    PathBuf::from(world.variable("TMPDIR").unwrap_or("/tmp"))
}
