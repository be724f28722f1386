//! Tells which secret a text contains, in any form that the masker knows. It decides nothing about it.

use std::sync::{Arc, OnceLock};

use crate::broker::view::SecretFinder;
use crate::secrets::{MaskOptions, MaskSet, Secret};

/// Finds these, by name. Compiled when first asked.
pub(super) fn finder(named: Vec<(String, Secret)>, options: MaskOptions) -> SecretFinder {
    let compiled: OnceLock<Vec<MaskSet>> = OnceLock::new();
    Arc::new(move |text: &str| {
        let sets = compiled.get_or_init(|| {
            let of_one = |value: &Secret| MaskSet::with_options(vec![value.clone()], options);
            named.iter().map(|(_, value)| of_one(value)).collect()
        });
        let found = named.iter().zip(sets).find(|((_, value), set)| {
            holds(text.as_bytes(), value) || set.mask(text.as_bytes()) != text.as_bytes()
        });
        found.map(|((name, _), _)| name.clone())
    })
}

/// A value too short to be masked is one all the same, and the white space around it is none of it.
fn holds(text: &[u8], value: &Secret) -> bool {
    let bare = value.expose().trim_ascii();
    !bare.is_empty() && text.windows(bare.len()).any(|window| window == bare)
}

#[cfg(test)]
mod tests;
