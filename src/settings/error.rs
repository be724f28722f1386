//! What is wrong with a settings file: where, what, and the nearest thing that would be right.

use std::path::PathBuf;

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The text is no TOML.
    #[error("the settings {}, line {line}: not valid TOML: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's words.
        problem: String,
    },
    /// There is no such key.
    #[error("the settings {}, line {line}: unknown key `{key}`\n  {hint}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key, dotted.
        key: String,
        /// The nearest known key, or all there are.
        hint: String,
    },
    /// A value is of another type or form than it should be.
    #[error("the settings {}, line {line}: `{key}`: {problem}", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key, dotted.
        key: String,
        /// What was found and what was expected.
        problem: String,
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
