//! Path patterns as `.gitlab-ci.yml` knows them: `*`, `?`, `[..]`, `{a,b}` and `**` across directories,
//! relative to the project. It finds and matches; it never leaves the project directory.

use super::super::error::TransferError;
use globset::{GlobBuilder, GlobMatcher};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// One pattern without braces, cut at its slashes.
#[derive(Debug)]
pub(crate) struct Pattern {
    segments: Vec<Segment>,
}

#[derive(Debug)]
enum Segment {
    /// A name as it stands; it may lead through a symbolic link that the job made.
    Literal(String),
    Wild(GlobMatcher),
    /// `**`: any number of directories, links not followed.
    AnyDepth,
}

/// What a text means once it is read.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Patterns below the project; several when there were braces.
    Inside(Vec<Pattern>),
    /// It points out of the project directory.
    Outside,
}

/// Reads a pattern that is relative to `project`, or absolute and below it.
///
/// # Errors
/// When a bracket or brace is never closed.
pub(crate) fn read(text: &str, project: &Path) -> Result<Reading, TransferError> {
    let mut patterns = Vec::new();
    for one in expand_braces(text) {
        let relative = if one.starts_with('/') {
            let root = project.to_string_lossy();
            match one.strip_prefix(&*root) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.to_owned(),
                _ => return Ok(Reading::Outside),
            }
        } else {
            one
        };
        match segments(&relative)? {
            Some(segments) => patterns.push(Pattern { segments }),
            None => return Ok(Reading::Outside),
        }
    }
    Ok(Reading::Inside(patterns))
}

fn segments(text: &str) -> Result<Option<Vec<Segment>>, TransferError> {
    let mut segments = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if segments.pop().is_none() {
                    return Ok(None);
                }
            }
            "**" => segments.push(Segment::AnyDepth),
            name if !name.contains(['*', '?', '[', '\\']) => {
                segments.push(Segment::Literal(name.into()));
            }
            wild => {
                let glob = GlobBuilder::new(wild)
                    .literal_separator(true)
                    .backslash_escape(true)
                    .build()
                    .map_err(|source| TransferError::Pattern { pattern: wild.into(), source })?;
                segments.push(Segment::Wild(glob.compile_matcher()));
            }
        }
    }
    Ok(Some(segments))
}

/// `a{b,c/d}e` becomes `abe` and `ac/de`; braces nest, a backslash keeps one as it is.
fn expand_braces(text: &str) -> Vec<String> {
    let Some((start, end, commas)) = first_braces(text) else {
        return vec![text.to_owned()];
    };
    let mut cuts = vec![start];
    cuts.extend(commas);
    cuts.push(end);
    let mut all = Vec::new();
    for window in cuts.windows(2) {
        let choice = &text[window[0] + 1..window[1]];
        all.extend(expand_braces(&format!("{}{choice}{}", &text[..start], &text[end + 1..])));
    }
    all
}

/// Where the first pair of braces opens and closes, and its own commas.
fn first_braces(text: &str) -> Option<(usize, usize, Vec<usize>)> {
    let (mut depth, mut start, mut commas, mut escaped) = (0, 0, Vec::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => {
                depth += 1;
                if depth == 1 {
                    start = at;
                }
            }
            ',' if depth == 1 => commas.push(at),
            '}' if depth == 1 => return Some((start, at, commas)),
            '}' if depth > 1 => depth -= 1,
            _ => {}
        }
    }
    None
}

impl Pattern {
    /// Whether a path relative to the project matches as a whole.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        let names: Vec<&OsStr> = path
            .components()
            .filter_map(|component| match component {
                Component::Normal(name) => Some(name),
                _ => None,
            })
            .collect();
        matches(&self.segments, &names)
    }

    /// Adds every path below `project` that matches, relative to it. Directories are not descended into
    /// beyond what the pattern says; what cannot be read does not match.
    pub(crate) fn find(&self, project: &Path, found: &mut BTreeSet<PathBuf>) {
        find(&self.segments, project, PathBuf::new(), found);
    }
}

fn matches(segments: &[Segment], names: &[&OsStr]) -> bool {
    match (segments.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((Segment::AnyDepth, rest)), _) => {
            (0..=names.len()).any(|skipped| matches(rest, &names[skipped..]))
        }
        (Some((segment, rest)), Some((name, others))) => segment.is(name) && matches(rest, others),
        _ => false,
    }
}

impl Segment {
    fn is(&self, name: &OsStr) -> bool {
        match self {
            Self::Literal(literal) => name == literal.as_str(),
            Self::Wild(glob) => glob.is_match(Path::new(name)),
            Self::AnyDepth => true,
        }
    }
}

fn find(segments: &[Segment], project: &Path, at: PathBuf, found: &mut BTreeSet<PathBuf>) {
    let Some((segment, rest)) = segments.split_first() else {
        if fs::symlink_metadata(project.join(&at)).is_ok() {
            found.insert(at);
        }
        return;
    };
    match segment {
        Segment::Literal(name) => find(rest, project, at.join(name), found),
        Segment::Wild(_) => {
            for (name, _) in names_in(&project.join(&at)) {
                if segment.is(&name) {
                    find(rest, project, at.join(name), found);
                }
            }
        }
        Segment::AnyDepth if rest.is_empty() => find(rest, project, at, found),
        Segment::AnyDepth => {
            for (name, is_directory) in names_in(&project.join(&at)) {
                if is_directory {
                    find(segments, project, at.join(name), found);
                }
            }
            find(rest, project, at, found);
        }
    }
}

/// Names in a directory, and whether each is a directory itself (a link to one is not).
fn names_in(directory: &Path) -> Vec<(std::ffi::OsString, bool)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| (entry.file_name(), entry.file_type().is_ok_and(|kind| kind.is_dir())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(text: &str) -> Vec<Pattern> {
        match read(text, Path::new("/builds/g/p")) {
            Ok(Reading::Inside(patterns)) => patterns,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn hit(text: &str, path: &str) -> bool {
        patterns(text).iter().any(|pattern| pattern.matches(Path::new(path)))
    }

    #[test]
    fn patterns_match_as_gitlab_documents_them() {
        for (pattern, path, expected) in [
            ("out", "out", true),
            ("./out/", "out", true),
            ("out/*.o", "out/a.o", true),
            ("out/*.o", "out/sub/a.o", false),
            ("out/**/*.o", "out/a.o", true),
            ("out/**/*.o", "out/x/y/a.o", true),
            ("**/*.o", "a.o", true),
            ("dir/**", "dir/x/y", true),
            ("dir/**", "dir", true),
            ("*", ".hidden", true),
            ("*", "a/b", false),
            ("a?c", "abc", true),
            ("[ab].x", "b.x", true),
            ("[^ab].x", "b.x", false),
            ("{a,b/c}.x", "b/c.x", true),
            ("{a,{b,c}}x", "cx", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("a/../b", "b", true),
            ("/builds/g/p/out", "out", true),
            ("ä*", "äö", true),
        ] {
            assert_eq!(hit(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn what_leaves_the_project_is_outside() {
        for text in
            ["..", "../x", "a/../../x", "/etc/passwd", "/builds/g/project", "/builds/g/pp/x"]
        {
            let reading = read(text, Path::new("/builds/g/p"));
            assert!(matches!(reading, Ok(Reading::Outside)), "{text}: {reading:?}");
        }
        assert!(read("[a", Path::new("/")).is_err());
    }
}
