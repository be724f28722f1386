//! The streaming masker: bytes in, bytes out, with every form of every secret replaced by `[MASKED]`.
//! Pure: it neither reads nor writes, and does not know where its bytes go.
//!
//! What it promises: the bytes that come out are those that one single write of the whole stream would
//! have given, however it was cut; no byte of a whole occurrence of a form comes out; and only the
//! longest suffix that may still grow into a form is held back. What it does not promise: a secret that
//! was encrypted, compressed, reversed, interleaved or split between two streams passes.

mod automaton;
mod encoding;
mod forms;
mod grams;
mod lengths;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Secret;
use automaton::{Automaton, Span};

/// What stands in the place of a secret.
pub const MASK: &[u8] = b"[MASKED]";
/// Values shorter than this are not maskable: they would blacken half of a log.
pub const MIN_MASKABLE: usize = 4;
/// Values shorter than this are masked, but callers should warn: they match innocent text.
pub const MIN_UNREMARKABLE: usize = 8;
/// Upper limit of the bytes of all forms of one set.
pub const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Why a value of a set is not masked. The caller decides what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmaskable {
    /// Under [`MIN_MASKABLE`] bytes, surrounding white space not counted.
    TooShort,
    /// The forms of the set would be longer than [`MAX_PATTERN_BYTES`] together.
    TooLarge,
}

/// All forms of a job's secrets, compiled once and shared by every stream of the job.
#[derive(Clone)]
pub struct MaskSet {
    values: Arc<Vec<Secret>>,
    unmaskable: Arc<Vec<(usize, Unmaskable)>>,
    automaton: Option<Arc<Automaton>>,
}

impl MaskSet {
    /// Compiles the forms of these secrets. Those in [`Self::unmaskable`] are left out, so ask for them.
    pub fn new(values: Vec<Secret>) -> Self {
        let (patterns, mut unmaskable) = forms::of_all(&values);
        let automaton = Automaton::new(&patterns).unwrap_or_else(|_| {
            // Within MAX_PATTERN_BYTES the library has no reason to refuse; if it does, say so for all.
            unmaskable = (0..values.len()).map(|index| (index, Unmaskable::TooLarge)).collect();
            None
        });
        let automaton = automaton.map(Arc::new);
        Self { values: Arc::new(values), unmaskable: Arc::new(unmaskable), automaton }
    }

    /// A set of exactly these byte strings, without any of their other forms.
    #[cfg(test)]
    fn of_patterns(patterns: &[Vec<u8>]) -> Self {
        let automaton = Automaton::new(patterns).unwrap().map(Arc::new);
        Self { values: Arc::default(), unmaskable: Arc::default(), automaton }
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

/// Masks one stream; any chunking gives the same output as one write.
///
/// All positions inside are relative to the first byte of `held`, which is the first byte that has not
/// been decided yet.
pub struct Masker {
    automaton: Option<Arc<Automaton>>,
    state: automaton::State,
    /// The live prefix: bytes that may yet turn out to be the beginning of a form.
    held: Zeroizing<Vec<u8>>,
    /// Matches that begin inside `held`, in order, neither touching nor overlapping.
    spans: Vec<Span>,
    /// Up to here bytes belong to a mask that has already been written.
    masked_to: usize,
    /// Whether the last thing written was a mask, and nothing came after it.
    after_mask: bool,
}

impl Masker {
    /// Starts a stream.
    pub fn new(set: &MaskSet) -> Self {
        let state = set.automaton.as_ref().map(|automaton| automaton.start()).unwrap_or_default();
        Self {
            automaton: set.automaton.clone(),
            state,
            held: Zeroizing::default(),
            spans: Vec::new(),
            masked_to: 0,
            after_mask: false,
        }
    }

    /// Takes the next bytes and appends to `out` what is certain to be no secret.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let Some(automaton) = self.automaton.clone() else {
            out.extend_from_slice(input);
            return;
        };
        let before = self.held.len();
        self.state = automaton.scan(self.state, (input, before), &mut self.spans);
        let end = before + input.len();
        let decided = end - automaton.hold(self.state);
        self.release(input, decided, out);
        self.forget(input, decided);
    }

    /// Ends the stream and appends what was held back.
    ///
    /// A held beginning of a form of at least 8 bytes, or of half the form, is masked: the rest of the
    /// secret may be what the cut took away.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let Some(automaton) = self.automaton.clone() else {
            return;
        };
        let end = self.held.len();
        let tail = automaton.close(self.state);
        if tail > 0 {
            automaton::merge(&mut self.spans, Span { start: end - tail, end });
        }
        self.release(&[], end, out);
        self.held.clear();
        self.spans.clear();
        self.masked_to = 0;
        self.after_mask = false;
        self.state = automaton.start();
    }

    /// Writes everything before `decided`, and each mask that begins there or before.
    fn release(&mut self, input: &[u8], decided: usize, out: &mut Vec<u8>) {
        let ready = self.spans.partition_point(|span| span.start <= decided);
        let mut cursor = self.masked_to;
        for index in 0..ready {
            let span = self.spans[index];
            // A match that begins where the last mask ended, or within it, is more of the same mask.
            if span.start > cursor {
                self.copy(input, cursor, span.start, out);
            }
            if !(self.after_mask && span.start <= cursor) {
                out.extend_from_slice(MASK);
                self.after_mask = true;
            }
            cursor = cursor.max(span.end);
        }
        self.spans.drain(..ready);
        self.copy(input, cursor, decided, out);
        self.masked_to = cursor.max(decided);
    }

    /// Appends the stream's bytes `from..to`, which lie partly in `held` and partly in `input`.
    fn copy(&mut self, input: &[u8], from: usize, to: usize, out: &mut Vec<u8>) {
        if from >= to {
            return;
        }
        let before = self.held.len();
        if from < before {
            out.extend_from_slice(&self.held[from..to.min(before)]);
        }
        if to > before {
            out.extend_from_slice(&input[from.max(before) - before..to - before]);
        }
        self.after_mask = false;
    }

    /// Moves the origin of all positions to `decided` and keeps what follows it.
    fn forget(&mut self, input: &[u8], decided: usize) {
        let before = self.held.len();
        if decided >= before {
            self.held.clear();
            self.held.extend_from_slice(&input[decided - before..]);
        } else {
            self.held.drain(..decided);
            self.held.extend_from_slice(input);
        }
        for span in &mut self.spans {
            span.start -= decided;
            span.end -= decided;
        }
        self.masked_to -= decided;
    }
}
