//! Takes a JSON object apart field by field, by exact key: what nobody asked for is refused, and so is
//! what has no form here, unless it says nothing (T5: `null` is absent). Pure.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::broker::refusal::Refusal;

/// Longest text in a field, in bytes.
const LONGEST: usize = 64 << 10;

/// The fields of one object that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Fields {
    place: String,
    left: Map<String, Value>,
}

impl Fields {
    /// Of an object; `place` is its path in messages, empty for the body itself.
    pub(super) fn of(place: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Object(mut left) => {
                left.retain(|_, value| !value.is_null());
                Ok(Self { place: place.to_owned(), left })
            }
            _ => Err(wrong(if place.is_empty() { "the body" } else { place }, "an object")),
        }
    }

    /// The path of a field, for messages.
    pub(super) fn path(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// A field of a plain type.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Refusal> {
        let Some(value) = self.left.remove(key) else { return Ok(None) };
        serde_json::from_value(value)
            .map(Some)
            .map_err(|_| wrong(&self.path(key), std::any::type_name::<T>()))
    }

    /// A field that says nothing where it has its zero value.
    pub(super) fn or_zero<T: DeserializeOwned + Default>(
        &mut self,
        key: &str,
    ) -> Result<T, Refusal> {
        self.take(key).map(Option::unwrap_or_default)
    }

    /// A text without control characters; an empty one is none.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        let text: Option<String> = self.take(key)?;
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        if text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(wrong(&self.path(key), "a text without control characters"));
        }
        Ok(Some(text))
    }

    /// A field that holds an object; an absent one has no fields.
    pub(super) fn object(&mut self, key: &str) -> Result<Self, Refusal> {
        let value = self.left.remove(key).unwrap_or_else(|| Value::Object(Map::new()));
        Self::of(&self.path(key), value)
    }

    /// The same, where absent and empty differ.
    pub(super) fn some_object(&mut self, key: &str) -> Result<Option<Self>, Refusal> {
        self.left.contains_key(key).then(|| self.object(key)).transpose()
    }

    /// A field that holds a list of objects.
    pub(super) fn objects(&mut self, key: &str) -> Result<Vec<Self>, Refusal> {
        let items: Vec<Value> = self.or_zero(key)?;
        let place = self.path(key);
        items.into_iter().map(|item| Self::of(&format!("{place}[]"), item)).collect()
    }

    /// A field that holds an object whose keys are the client's own.
    pub(super) fn entries(&mut self, key: &str) -> Result<BTreeMap<String, Value>, Refusal> {
        self.or_zero(key)
    }

    /// Fields that must not say anything.
    pub(super) fn nothing(&mut self, keys: &[(&str, &'static str, &str)]) -> Result<(), Refusal> {
        for (key, rule, hint) in keys {
            let value = self.left.remove(*key);
            if !value.as_ref().is_none_or(is_zero) {
                let message = format!("{} is not allowed: {hint}", self.path(key));
                return Err(Refusal::forbidden(rule, message));
            }
        }
        Ok(())
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Refusal> {
        let Some(key) = self.left.keys().next() else { return Ok(()) };
        let message = format!(
            "{} is unknown here; fields are written exactly as in Docker's documentation",
            self.path(&printable(key))
        );
        Err(Refusal::forbidden("field", message))
    }
}

/// Whether a value says nothing.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    }
}

/// A key as it may stand in a message: it is the client's own text.
pub(in crate::broker) fn printable(key: &str) -> String {
    let legal = |c: &char| c.is_ascii_alphanumeric() || "_.-".contains(*c);
    let shown: String = key.chars().take(40).take_while(legal).collect();
    if shown.len() == key.len() && !shown.is_empty() { shown } else { format!("{shown}?") }
}

/// A value of another type than its place has.
pub(super) fn wrong(place: &str, expected: &str) -> Refusal {
    let expected = match expected {
        "bool" => "true or false",
        "i64" | "u64" | "u32" | "u16" => "a whole number",
        "alloc::string::String" => "a text",
        other if other.starts_with("alloc::vec::Vec") => "a list of the right type",
        other if other.starts_with("alloc::collections") => "an object of the right type",
        other => other,
    };
    Refusal::malformed("type", format!("{place} must be {expected}"))
}
