//! What the masker is measured against: one streaming pass per phrase, one behind the other, as a
//! straightforward masker does it. Verbatim phrases only, each found by its first byte; a mismatch starts
//! over. It is for the benchmark alone: it leaks phrases that overlap themselves across two writes.

const MASK: &[u8] = b"[MASKED]";

/// All passes.
pub(crate) struct PerPhrase {
    passes: Vec<Pass>,
    buffers: [Vec<u8>; 2],
}

struct Pass {
    phrase: Vec<u8>,
    matched: usize,
}

impl PerPhrase {
    /// A pass for each phrase, the longest first.
    pub(crate) fn new(phrases: &[Vec<u8>]) -> Self {
        let mut phrases = phrases.to_vec();
        phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.len()));
        let passes = phrases.into_iter().map(|phrase| Pass { phrase, matched: 0 }).collect();
        Self { passes, buffers: [Vec::new(), Vec::new()] }
    }

    /// What leaves the last pass.
    pub(crate) fn push(&mut self, input: &[u8]) -> &[u8] {
        let [current, next] = &mut self.buffers;
        current.clear();
        current.extend_from_slice(input);
        for pass in &mut self.passes {
            next.clear();
            pass.push(current, next);
            std::mem::swap(current, next);
        }
        current
    }

    /// What the passes held back, each given to those behind it.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        for pass in &mut self.passes {
            let mut out = Vec::new();
            pass.push(&rest, &mut out);
            out.extend_from_slice(&pass.phrase[..pass.matched]);
            rest = out;
        }
        rest
    }
}

impl Pass {
    fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while let Some((&byte, rest)) = input.split_first() {
            if self.matched == 0 {
                let start = memchr::memchr(self.phrase[0], input).unwrap_or(input.len());
                out.extend_from_slice(&input[..start]);
                input = &input[start..];
                if !input.is_empty() {
                    self.matched = 1;
                    input = &input[1..];
                }
            } else if byte == self.phrase[self.matched] {
                self.matched += 1;
                input = rest;
            } else {
                out.extend_from_slice(&self.phrase[..self.matched]);
                self.matched = 0;
            }
            if self.matched == self.phrase.len() {
                out.extend_from_slice(MASK);
                self.matched = 0;
            }
        }
    }
}
