//! Which files an archive takes: patterns, exclusions and what git does not track, all below the project
//! directory. It reads directories; it opens no file.

use super::super::error::TransferError;
use super::super::given::Given;
use super::glob::{self, Pattern, Reading};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which files a script wants.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Patterns relative to the project directory.
    pub(crate) paths: Vec<String>,
    /// Patterns of what to leave out.
    pub(crate) exclude: Vec<String>,
    /// Everything that git does not track.
    pub(crate) untracked: bool,
}

impl Selection {
    /// The options that all commands share which pack files.
    pub(crate) fn of(given: &Given) -> Self {
        Self {
            paths: given.all_expanded("--path"),
            exclude: given.all_expanded("--exclude"),
            untracked: given.flag("--untracked"),
        }
    }
}

/// What an archive will take, and what the job's author should hear about it.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    /// Files, directories and links, relative to the project, each once and in order.
    pub(crate) paths: BTreeSet<PathBuf>,
    /// One line each for the job's log.
    pub(crate) notes: Vec<String>,
}

/// Collects what the options ask for.
///
/// # Errors
/// When a pattern cannot be read. A pattern without a match is a note, not an error.
pub(crate) fn collect(selection: &Selection, project: &Path) -> Result<Collection, TransferError> {
    let mut collection = Collection::default();
    let mut excluded = Vec::new();
    for text in &selection.exclude {
        match glob::read(text, project)? {
            Reading::Inside(patterns) => excluded.extend(patterns),
            Reading::Outside => collection.outside(text, project),
        }
    }
    for text in &selection.paths {
        match glob::read(text, project)? {
            Reading::Inside(patterns) => collection.add(text, &patterns, &excluded, project),
            Reading::Outside => collection.outside(text, project),
        }
    }
    if selection.untracked {
        collection.add_untracked(&excluded, project);
    }
    Ok(collection)
}

impl Collection {
    fn outside(&mut self, text: &str, project: &Path) {
        let project = project.display();
        self.notes
            .push(format!("WARNING: {text}: not below the project directory {project}, left out"));
    }

    fn add(&mut self, text: &str, patterns: &[Pattern], excluded: &[Pattern], project: &Path) {
        let mut matched = BTreeSet::new();
        for pattern in patterns {
            pattern.find(project, &mut matched);
        }
        let mut walk = Walk { project, excluded, taken: BTreeSet::new(), left_out: 0 };
        for path in matched {
            walk.visit(path);
        }
        self.notes.push(match (walk.taken.len(), walk.left_out) {
            (0, 0) => format!(
                "WARNING: {text}: nothing matches; paths are relative to the project directory ({})",
                project.display()
            ),
            (taken, 0) => format!("{text}: {taken} matching files and directories"),
            (taken, left_out) => {
                format!("{text}: {taken} matching files and directories, {left_out} excluded")
            }
        });
        self.paths.append(&mut walk.taken);
    }

    /// Everything that git does not track, ignored files too, as GitLab's binary takes them.
    fn add_untracked(&mut self, excluded: &[Pattern], project: &Path) {
        let listed = Command::new("git")
            .args(["ls-files", "-o", "-z"])
            .current_dir(project)
            .stdin(Stdio::null())
            .output();
        let names = match listed {
            Ok(output) if output.status.success() => output.stdout,
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return self.notes.push(format!("WARNING: untracked: git says: {text}"));
            }
            Err(error) => {
                return self.notes.push(format!("WARNING: untracked: cannot run git: {error}"));
            }
        };
        let mut walk = Walk { project, excluded, taken: BTreeSet::new(), left_out: 0 };
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            walk.visit(PathBuf::from(OsStr::from_bytes(name)));
        }
        self.notes.push(format!("untracked: {} files", walk.taken.len()));
        self.paths.append(&mut walk.taken);
    }
}

/// One pass over what a pattern matched.
struct Walk<'a> {
    project: &'a Path,
    excluded: &'a [Pattern],
    taken: BTreeSet<PathBuf>,
    left_out: usize,
}

impl Walk<'_> {
    /// Takes a path and, for a directory, all below it. An excluded directory may hold files that are not.
    fn visit(&mut self, path: PathBuf) {
        let full = self.project.join(&path);
        let Ok(metadata) = fs::symlink_metadata(&full) else {
            return;
        };
        if metadata.is_dir() {
            for entry in fs::read_dir(&full).into_iter().flatten().flatten() {
                self.visit(path.join(entry.file_name()));
            }
        }
        if self.excluded.iter().any(|pattern| pattern.matches(&path)) {
            self.left_out += 1;
        } else if !path.as_os_str().is_empty() {
            self.taken.insert(path);
        }
    }
}
