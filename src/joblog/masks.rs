//! The values that our own words must not show: lines in the job log, errors, the ledger. Kept in memory
//! alone, and wiped when they go. It finds no values; those who learn of one add it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::secrets::{MaskOptions, MaskSet, Secret};

/// All values to be masked that this call knows of so far.
///
/// Compiled when something is first said: most calls say nothing of their own.
#[derive(Default)]
pub struct Masks {
    known: Mutex<Known>,
    options: MaskOptions,
}

#[derive(Default)]
struct Known {
    values: Vec<Secret>,
    set: Option<MaskSet>,
}

impl Masks {
    /// None so far; those to come are looked for so.
    pub fn new(options: MaskOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// What is looked for besides the values' usual forms.
    pub fn options(&self) -> MaskOptions {
        self.options
    }

    /// Masks these as well from now on.
    pub fn add(&self, values: impl IntoIterator<Item = Secret>) {
        let mut known = self.lock();
        for value in values {
            if !known.values.contains(&value) {
                known.values.push(value);
                known.set = None;
            }
        }
    }

    /// The set that a log of its own can use.
    pub fn set(&self) -> MaskSet {
        let mut known = self.lock();
        if let Some(set) = &known.set {
            return set.clone();
        }
        let set = MaskSet::with_options(known.values.clone(), self.options);
        known.set = Some(set.clone());
        set
    }

    /// One complete text, masked.
    pub fn mask(&self, text: &str) -> String {
        if text.is_empty() || self.lock().values.is_empty() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.set().mask(text.as_bytes())).into_owned()
    }

    /// All texts of a JSON value, masked; names of members are ours and stay.
    pub fn mask_json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mask(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.mask_json(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, member)| (name, self.mask_json(member))).collect()
            }
            other => other,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_added_later_is_masked_from_then_on() {
        let masks = Masks::default();
        assert_eq!(masks.mask("first-value"), "first-value");
        masks.add([Secret::new("first-value")]);
        assert_eq!(masks.mask("a first-value, second-value"), "a [MASKED], second-value");
        masks.add([Secret::new("second-value")]);
        assert_eq!(masks.mask("a first-value, second-value"), "a [MASKED], [MASKED]");
    }

    #[test]
    fn all_texts_of_json_are_masked_and_it_stays_json() {
        let masks = Masks::default();
        masks.add([Secret::new("\",\"left\":[\"")]);
        let given = json!({"job": "1-a", "left": ["x\",\"left\":[\"y", 7], "objects": {"a": "b"}});
        let expected = json!({"job": "1-a", "left": ["x[MASKED]y", 7], "objects": {"a": "b"}});
        assert_eq!(masks.mask_json(given), expected);
    }
}
