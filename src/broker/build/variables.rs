//! Variables in the name of an image: `FROM $BASE`. What the builder might read otherwise is refused. Pure.

use std::collections::BTreeMap;

use super::dockerfile::unsure;
use crate::broker::refusal::Refusal;

/// `$NAME`, `${NAME}`, `${NAME:-WORD}` and `${NAME:+WORD}`, from the arguments before the first stage.
pub(super) fn expanded(
    arguments: &BTreeMap<String, String>,
    text: &str,
) -> Result<String, Refusal> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (inner, left) = if let Some(inner) = after.strip_prefix('{') {
            inner.split_once('}').ok_or_else(|| unsure("FROM has half a variable"))?
        } else {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
            after.split_at(after.find(|c| !legal(c)).unwrap_or(after.len()))
        };
        expanded.push_str(&variable(arguments, inner)?);
        rest = left;
    }
    expanded.push_str(rest);
    let strange = |c: char| c.is_whitespace() || c.is_control() || "\"'\\`$".contains(c);
    if expanded.contains(strange) {
        return Err(unsure("an image's name in the Dockerfile can be read in two ways"));
    }
    Ok(expanded)
}

fn variable(arguments: &BTreeMap<String, String>, inner: &str) -> Result<String, Refusal> {
    let (name, other) = match inner.split_once(':') {
        None => (inner, None),
        Some((name, other)) => (name, Some(other)),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(legal) {
        return Err(unsure("FROM has a variable that is written strangely"));
    }
    let value = arguments.get(name).cloned().unwrap_or_default();
    Ok(match other.and_then(|other| Some((other.chars().next()?, &other[1..]))) {
        Some(('-', word)) if value.is_empty() => word.to_owned(),
        None | Some(('-', _)) => value,
        Some(('+', word)) => {
            if value.is_empty() {
                String::new()
            } else {
                word.to_owned()
            }
        }
        Some(_) => return Err(unsure("FROM has a variable that is written strangely")),
    })
}
