//! Reads files of a cgroup, whichever version has them. It knows no controller and changes nothing.

use std::path::Path;

/// The first of these files that can be read; version 2 and version 1 name them differently.
pub(super) fn text(root: &Path, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| std::fs::read_to_string(root.join(path)).ok())
}

/// The number that is all of the first of these files that can be read; `max` is none.
pub(super) fn number(root: &Path, paths: &[&str]) -> Option<u64> {
    text(root, paths)?.trim().parse().ok()
}

/// The number behind a name, `NAME NUMBER` in a line of its own, in the first of these files.
pub(super) fn field(root: &Path, paths: &[&str], name: &str) -> Option<u64> {
    let text = text(root, paths)?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A directory with these files, as a cgroup's is.
#[cfg(test)]
pub(super) fn with_files(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}
