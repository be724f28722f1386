//! From TOML text to a type, with errors that name line and key. It knows no setting.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SettingsError;

/// Reads a document into a type that denies unknown fields.
pub(super) fn read<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, SettingsError> {
    let table = DeTable::parse(text).map_err(|error| syntax(text, path, &error))?;
    toml::from_str(text).map_err(|error| explain(text, path, table.get_ref(), &error))
}

fn syntax(text: &str, path: &Path, error: &toml::de::Error) -> SettingsError {
    let line = line_of(text, error.span().map_or(0, |span| span.start));
    SettingsError::Syntax { path: path.to_owned(), line, problem: first_line(error.message()) }
}

fn explain(text: &str, path: &Path, table: &DeTable, error: &toml::de::Error) -> SettingsError {
    let span = error.span().unwrap_or(0..0);
    let (path, line) = (path.to_owned(), line_of(text, span.start));
    let message = error.message();
    let key = key_at(table, &span).map(|parts| parts.join(".")).unwrap_or_default();
    match message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        Some((name, rest)) => {
            let key = if key.ends_with(name) { key } else { [&key, name].join(".") };
            let key = key.trim_start_matches('.').to_owned();
            SettingsError::UnknownKey { path, line, key, hint: hint(name, rest) }
        }
        None => SettingsError::Type { path, line, key, problem: first_line(message) },
    }
}

/// Turns serde's list of known names into the nearest one, or into the list where none is near.
fn hint(name: &str, known: &str) -> String {
    let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let distance = |candidate: &str| strsim::damerau_levenshtein(candidate, name);
    let nearest = names.iter().min_by_key(|candidate| distance(candidate));
    match nearest.filter(|candidate| distance(candidate) <= 1 + name.len() / 3) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("known here: {}", names.join(", ")),
    }
}

/// The path of the innermost key whose name or value lies at `span`.
fn key_at(table: &DeTable, span: &Range<usize>) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref().to_string();
        if covers(&key.span(), span) {
            return Some(vec![name]);
        }
        inside(value, span).map(|mut path| {
            path.insert(0, name);
            path
        })
    })
}

fn inside(value: &Spanned<DeValue>, span: &Range<usize>) -> Option<Vec<String>> {
    // Tables come first: the span of a `[section]` is its header alone, its keys lie outside.
    let deeper = match value.get_ref() {
        DeValue::Table(table) => key_at(table, span),
        DeValue::Array(items) => items.iter().find_map(|item| inside(item, span)),
        _ => None,
    };
    deeper.or_else(|| covers(&value.span(), span).then(Vec::new))
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
