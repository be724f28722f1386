//! What is wrong with a settings file: where, what, and the nearest thing that would be right.

use std::path::{Path, PathBuf};

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is not TOML, or a key or type is wrong.
    #[error("the settings {}, line {line}: {problem}{hint}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
        /// What may have been meant; begins a line of its own.
        hint: String,
    },
    /// A value does not hold.
    #[error("the settings {}: {key}: {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl SettingsError {
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..offset].matches('\n').count();
        let problem = error.message().trim_end();
        let problem = match key(text.lines().nth(line).unwrap_or_default()) {
            // serde names the key that is unknown, but not the one whose value is of another type.
            Some(key) if !problem.contains(key) => format!("{key}: {problem}"),
            _ => problem.to_owned(),
        };
        let hint = nearest(&problem)
            .map_or_else(String::new, |near| format!("\n  did you mean `{near}`?"));
        Self::Syntax { path: path.to_path_buf(), line: line + 1, problem, hint }
    }
}

/// The key of a line `key = value`.
fn key(line: &str) -> Option<&str> {
    line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty())
}

/// Of "unknown field `x`, expected one of `a`, `b`", the expected name that is most like `x`.
fn nearest(problem: &str) -> Option<&str> {
    let mut names = problem.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    names
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(unknown.len()) / 2)
        .min()
        .map(|(_, name)| name)
}
