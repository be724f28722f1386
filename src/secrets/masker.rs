//! The streaming masker: bytes in, bytes out, with every form of every secret replaced by `[MASKED]`.
//! Pure: it neither reads nor writes, and does not know where its bytes go.
//!
//! What it promises: the bytes that come out are those that one single write of the whole stream would
//! have given, however it was cut; no byte of a whole occurrence of a form comes out; and only the
//! longest suffix that may still grow into a form is held back. What it does not promise: a secret that
//! was encrypted, compressed, interleaved or split between two streams passes; one that was reversed or is
//! coloured in parts passes but for [`MaskOptions`].

mod automaton;
mod bare;
mod encoding;
mod follow;
mod forms;
mod grams;
mod lengths;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Secret;
use automaton::Automaton;
#[cfg(test)]
use forms::Forms;
pub use stream::Masker;

/// What stands in the place of a secret.
pub const MASK: &[u8] = b"[MASKED]";
/// Values shorter than this are not maskable: they would blacken half of a log.
pub const MIN_MASKABLE: usize = 4;
/// Values shorter than this are masked, but callers should warn: they match innocent text.
pub const MIN_UNREMARKABLE: usize = 8;
/// Longer values are masked line by line only, so they are for files: a script that prints one prints
/// lines.
pub const MAX_INLINE_VALUE: usize = 64 << 10;
/// Upper limit of the bytes that one set searches for.
pub const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Why a value of a set is not masked. The caller decides what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unmaskable {
    /// Under [`MIN_MASKABLE`] bytes, surrounding white space not counted; or all of a value that is
    /// masked by line are too short lines.
    #[error("it is too short to be told from other text; at least {MIN_MASKABLE} bytes are masked")]
    TooShort,
    /// The forms of the set would be longer than [`MAX_PATTERN_BYTES`] together.
    #[error("together with the job's other secrets it is too large; 1 MiB is masked in all")]
    TooLarge,
}

/// What is looked for besides what every set looks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskOptions {
    /// Values and lines written backwards.
    pub reversed: bool,
    /// Values with ANSI control sequences (colours, movements) between their bytes.
    pub coloured: bool,
}

/// All forms of a job's secrets, compiled once and shared by every stream of the job.
#[derive(Clone)]
pub struct MaskSet {
    values: Arc<Vec<Secret>>,
    unmaskable: Arc<Vec<(usize, Unmaskable)>>,
    automaton: Option<Arc<Automaton>>,
    options: MaskOptions,
}

impl MaskSet {
    /// Compiles the forms of these secrets. Those in [`Self::unmaskable`] are left out, so ask for them.
    pub fn new(values: Vec<Secret>) -> Self {
        Self::with_options(values, MaskOptions::default())
    }

    /// The same, looking for more.
    pub fn with_options(values: Vec<Secret>, options: MaskOptions) -> Self {
        let (forms, mut unmaskable) = forms::of_all(&values, options);
        let automaton = Automaton::new(forms).unwrap_or_else(|_| {
            // Within MAX_PATTERN_BYTES the library has no reason to refuse; if it does, say so for all.
            unmaskable = (0..values.len()).map(|index| (index, Unmaskable::TooLarge)).collect();
            None
        });
        let automaton = automaton.map(Arc::new);
        Self { values: Arc::new(values), unmaskable: Arc::new(unmaskable), automaton, options }
    }

    /// This set and one more value.
    ///
    /// # Errors
    /// Why that value cannot be masked.
    pub fn with(&self, value: Secret) -> Result<Self, Unmaskable> {
        let known = self.values.iter().position(|one| *one == value);
        let set = if known.is_some() {
            self.clone()
        } else {
            let values = self.values.iter().cloned().chain([value]).collect();
            Self::with_options(values, self.options)
        };
        let index = known.unwrap_or(self.values.len());
        let why = set.unmaskable.iter().find(|(of, _)| *of == index).map(|(_, why)| *why);
        why.map_or(Ok(set), Err)
    }

    /// A set of exactly these byte strings, without any of their other forms.
    #[cfg(test)]
    fn of_patterns(patterns: &[Vec<u8>]) -> Self {
        Self::of_patterns_with(patterns, MaskOptions::default())
    }

    #[cfg(test)]
    fn of_patterns_with(patterns: &[Vec<u8>], options: MaskOptions) -> Self {
        let mut forms = Forms::default();
        for pattern in patterns {
            forms.add(pattern.clone(), 1);
        }
        let automaton = Automaton::new(forms).unwrap().map(Arc::new);
        Self { values: Arc::default(), unmaskable: Arc::default(), automaton, options }
    }

    /// The values it was made from, the unmaskable ones among them.
    pub fn values(&self) -> &[Secret] {
        &self.values
    }

    /// The indices into [`Self::values`] of what cannot be masked, and why.
    pub fn unmaskable(&self) -> &[(usize, Unmaskable)] {
        &self.unmaskable
    }

    /// Masks one complete text.
    pub fn mask(&self, text: &[u8]) -> Vec<u8> {
        let mut masker = Masker::new(self);
        let mut out = Vec::with_capacity(text.len());
        masker.push(text, &mut out);
        masker.finish(&mut out);
        out
    }
}
