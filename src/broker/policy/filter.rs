//! Docker's filters in lists: what they say of names and ids is worked out here, and the daemon is asked for ids.

use std::collections::BTreeMap;

use serde_json::json;

use super::Case;
use crate::broker::name::is_hex;
use crate::broker::outgoing::Kind;
use crate::broker::refusal::Refusal;
use crate::broker::request::Filters;

/// Filters for the daemon.
pub(super) type Values = BTreeMap<&'static str, Vec<String>>;

/// A filter that nobody may ask by.
pub(super) fn unknown(key: &str) -> Refusal {
    let message = format!("the filter {key} is not offered here");
    Refusal::forbidden("filters", message)
}

/// Filters whose values say nothing of other objects.
pub(super) fn passed(
    filters: &Filters,
    known: &[&'static str],
    own: &[&str],
) -> Result<Values, Refusal> {
    let mut all = Values::new();
    for (key, values) in &filters.0 {
        match known.iter().find(|known| *known == key) {
            Some(known) => drop(all.insert(known, values.clone())),
            None if own.contains(&key.as_str()) => {}
            None => {
                return Err(unknown(if key.len() < 24 && key.is_ascii() {
                    key
                } else {
                    "of that name"
                }));
            }
        }
    }
    Ok(all)
}

/// Ids of the job's objects of a kind that a filter's names and ids match.
pub(super) fn matching(
    case: Case<'_>,
    kind: Kind,
    filters: &Filters,
) -> Result<Vec<String>, Refusal> {
    let mut ids = Vec::new();
    for (id, name) in case.view.all(kind) {
        let mut fits = true;
        if let Some(patterns) = filters.0.get("name") {
            let matches: Result<Vec<bool>, Refusal> =
                patterns.iter().map(|pattern| name_matches(pattern, name)).collect();
            fits &= matches?.contains(&true);
        }
        if let Some(begins) = filters.0.get("id") {
            fits &= begins.iter().any(|begin| is_hex(begin) && id.starts_with(begin.as_str()));
        }
        if fits {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

/// The daemon reads a pattern as a regular expression; here it is a text with `^` before or `$` behind.
pub(super) fn name_matches(pattern: &str, name: &str) -> Result<bool, Refusal> {
    let (begins, rest) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let (ends, rest) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
    let bare = rest.strip_prefix('/').unwrap_or(rest).replace("\\.", ".").replace("\\-", "-");
    let begins = begins || rest.starts_with('/');
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !bare.bytes().all(legal) {
        let message = "the filter name may be a text, with ^ before and $ behind it";
        return Err(Refusal::forbidden("filters", message));
    }
    Ok(match (begins, ends) {
        (true, true) => name == bare,
        (true, false) => name.starts_with(&bare),
        (false, true) => name.ends_with(&bare),
        (false, false) => name.contains(&bare),
    })
}

/// As they stand in a query.
pub(super) fn written(values: &Values) -> Option<String> {
    (!values.is_empty()).then(|| json!(values).to_string())
}
