//! The query of a request, key by key, and Docker's `filters` in it (T7). Pure.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::Value;

use crate::broker::refusal::Refusal;

use super::fields::printable;
use super::strict;

/// The keys that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// A value; an empty one is none.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        let Some(at) = self.0.iter().position(|(known, _)| known == key) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        if value.chars().any(char::is_control) {
            return Err(Refusal::malformed("query", format!("{key} has control characters")));
        }
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    /// All values of a key that may be repeated.
    pub(super) fn all(&mut self, key: &str) -> Result<Vec<String>, Refusal> {
        let mut all = Vec::new();
        while let Some(value) = self.text(key)? {
            all.push(value);
        }
        Ok(all)
    }

    /// As Docker reads a flag: these words are false, all others true.
    pub(super) fn flag(&mut self, key: &str) -> Result<bool, Refusal> {
        Ok(self.text(key)?.is_some_and(|text| !is_false(&text)))
    }

    /// A flag that is on where nobody says otherwise.
    pub(super) fn flag_on(&mut self, key: &str) -> Result<bool, Refusal> {
        Ok(self.text(key)?.is_none_or(|text| !is_false(&text)))
    }

    /// Keys whose values change nothing that a job gets.
    pub(super) fn skip(&mut self, keys: &[&str]) -> Result<(), Refusal> {
        keys.iter().try_for_each(|key| self.text(key).map(drop))
    }

    /// A number.
    pub(super) fn number<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, Refusal> {
        let number = self.text(key)?.map(|text| text.parse());
        number.transpose().map_err(|_| {
            Refusal::malformed("query", format!("{key} must be a whole number within bounds"))
        })
    }

    /// A number of which 0 says nothing.
    pub(super) fn count(&mut self, key: &str) -> Result<Option<i64>, Refusal> {
        Ok(self.number(key)?.filter(|number| *number != 0))
    }

    /// JSON.
    pub(super) fn json(&mut self, key: &str) -> Result<Option<Value>, Refusal> {
        self.text(key)?.map(|text| strict::read(text.as_bytes())).transpose()
    }

    /// Docker's filters.
    pub(super) fn filters(&mut self) -> Result<Filters, Refusal> {
        self.json("filters")?.map_or_else(|| Ok(Filters::default()), Filters::read)
    }

    /// Keys that must not say anything.
    pub(super) fn nothing(&mut self, keys: &[(&str, &'static str, &str)]) -> Result<(), Refusal> {
        for (key, rule, hint) in keys {
            let value = self.text(key)?;
            let says =
                |text: &str| !is_false(text) && !matches!(text, "null" | "[]" | "{}" | "\"\"");
            if value.as_deref().is_some_and(says) {
                let message = format!("{key} is not allowed: {hint}");
                return Err(Refusal::forbidden(rule, message));
            }
        }
        Ok(())
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Refusal> {
        let Some((key, _)) = self.0.first() else { return Ok(()) };
        let message = format!("the query's {} is unknown here", printable(key));
        Err(Refusal::forbidden("query", message))
    }
}

/// Words that Docker reads as false.
fn is_false(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
}

/// Docker's `filters`: values by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

impl Filters {
    /// From both forms that Docker reads: `{"key": ["value"]}` and `{"key": {"value": true}}`.
    fn read(value: Value) -> Result<Self, Refusal> {
        let wrong = || Refusal::malformed("filters", "the filters are not as Docker writes them");
        let Value::Object(entries) = value else { return Err(wrong()) };
        let mut all = BTreeMap::new();
        for (key, value) in entries {
            let values: Option<Vec<String>> = match value {
                Value::Array(items) => {
                    items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect()
                }
                Value::Object(items) => items
                    .into_iter()
                    .map(|(item, on)| (on == Value::Bool(true)).then_some(item))
                    .collect(),
                _ => None,
            };
            let values = values.ok_or_else(wrong)?;
            if values.len() > 64 || values.iter().any(|value| value.len() > 1024) {
                return Err(wrong());
            }
            if !values.is_empty() {
                all.insert(key, values);
            }
        }
        Ok(Self(all))
    }
}
