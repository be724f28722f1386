//! One stream on its way through a mask set: what is certain leaves, what may become a secret waits.
//! It knows no forms and does no input or output.

use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::automaton::{self, Automaton, Place, Span};
use super::bare::Bare;
use super::forms::MAX_FORM;
use super::{MASK, MaskSet};

/// Masks one stream; any chunking gives the same output as one write.
///
/// All positions inside are relative to the first byte of `held`, which is the first byte that has not
/// been decided yet.
pub struct Masker {
    automaton: Option<Arc<Automaton>>,
    place: Place,
    /// The same without control sequences, where it is asked for.
    bare: Option<Bare>,
    /// The live prefix: bytes that may yet turn out to be the beginning of a form.
    pub(super) held: Zeroizing<Vec<u8>>,
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
        let automaton = set.automaton.clone();
        Self {
            place: automaton.as_deref().map(Automaton::start).unwrap_or_default(),
            automaton,
            bare: set.options.coloured.then(Bare::default),
            held: Zeroizing::new(Vec::with_capacity(MAX_FORM)),
            spans: Vec::new(),
            masked_to: 0,
            after_mask: false,
        }
    }

    /// Takes the next bytes and appends to `out` what is certain to be no secret.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if let Some(decided) = self.take(input) {
            self.release(input, decided, out);
            self.forget(input, decided);
        } else {
            out.extend_from_slice(input);
        }
    }

    /// As [`Self::push`], but hands the input itself on, without copying it, where it is clean.
    pub fn pass(&mut self, input: Bytes, mut emit: impl FnMut(Bytes)) {
        let Some(decided) = self.take(&input) else {
            return emit(input);
        };
        let before = self.held.len();
        if self.spans.is_empty() && self.masked_to == 0 && decided >= before {
            if before > 0 {
                emit(Bytes::copy_from_slice(&self.held));
            }
            self.masked_to = decided;
            self.forget(&input, decided);
            self.after_mask &= decided == 0;
            return emit(input.slice(..decided - before));
        }
        let mut out = Vec::with_capacity(before + input.len());
        self.release(&input, decided, &mut out);
        self.forget(&input, decided);
        // It may be kept for long: few bytes must not hold a long buffer.
        out.shrink_to_fit();
        emit(Bytes::from(out));
    }

    /// Goes on with another set, whose forms hold for all bytes that have not left yet.
    pub fn switch(&mut self, set: &MaskSet) {
        let before = self.held.len();
        let older = std::mem::take(&mut self.place.followers).older_than(before);
        self.automaton.clone_from(&set.automaton);
        self.place = self.automaton.as_deref().map(Automaton::start).unwrap_or_default();
        let mut spans = Vec::new();
        if let Some(automaton) = &self.automaton {
            automaton.scan(&mut self.place, (&self.held, 0), |span| {
                automaton::merge(&mut spans, span);
            });
            if let Some(bare) = &mut self.bare {
                bare.switch(automaton, &self.held, &mut spans);
            }
        }
        self.spans = spans;
        self.place.followers.append(older);
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
        let tail = automaton.close(&self.place);
        if tail > 0 {
            automaton::merge(&mut self.spans, Span { start: end - tail, end });
        }
        let bare = self.bare.take();
        if let Some(span) = bare.as_ref().and_then(|bare| bare.close(&automaton, end)) {
            automaton::cover(&mut self.spans, [span]);
        }
        self.release(&[], end, out);
        self.held.clear();
        self.spans.clear();
        self.masked_to = 0;
        self.after_mask = false;
        self.place = automaton.start();
        self.bare = bare.map(|_| Bare::default());
    }

    /// Walks over the input; answers up to which position all is decided, or `None` where nothing is
    /// ever masked.
    fn take(&mut self, input: &[u8]) -> Option<usize> {
        let automaton = self.automaton.as_deref()?;
        let (place, spans) = (&mut self.place, &mut self.spans);
        let input = (input, self.held.len());
        let total = input.1 + input.0.len();
        let Some(bare) = &mut self.bare else {
            automaton.scan(place, input, |span| automaton::merge(spans, span));
            return Some(total - automaton.hold(place));
        };
        bare.scan(automaton, place, input, spans);
        Some(total - automaton.hold(place).max(bare.hold(automaton, total)))
    }

    /// Writes everything before `decided`, and each mask that begins there or before.
    fn release(&mut self, input: &[u8], decided: usize, out: &mut Vec<u8>) {
        let ready = self.spans.partition_point(|span| span.start <= decided);
        let mut cursor = self.masked_to;
        for index in 0..ready {
            let span = self.spans[index];
            // A match that begins where the last mask ended, or within it, is more of the same mask.
            self.copy(input, cursor, span.start, out);
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
        out.extend_from_slice(&self.held[from.min(before)..to.min(before)]);
        out.extend_from_slice(&input[from.max(before) - before..to.max(before) - before]);
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
        if let Some(bare) = &mut self.bare {
            bare.forget(decided);
        }
    }
}
