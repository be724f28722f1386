//! What the requirements say, over a whole text at once, and the check of a stream against it.

use bytes::Bytes;

use super::super::follow::ANCHOR;
use super::super::forms::MAX_FORM;
use super::super::{MASK, MaskSet, Masker};

/// A set of patterns, and the same set compiled.
pub(super) struct Patterns {
    pub(super) patterns: Vec<Vec<u8>>,
    pub(super) set: MaskSet,
}

/// Which of a masker's ways a stream takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// Appending to a buffer.
    Push,
    /// Handing buffers on.
    Pass,
}

impl Patterns {
    pub(super) fn new(patterns: Vec<Vec<u8>>) -> Self {
        Self { set: MaskSet::of_patterns(&patterns), patterns }
    }

    /// Every byte of every occurrence is covered, a long form as far as it goes on after its anchor.
    pub(super) fn occurrences(&self, text: &[u8]) -> Vec<bool> {
        let mut covered = vec![false; text.len()];
        for pattern in &self.patterns {
            cover_occurrences(pattern, text, &mut covered);
        }
        covered
    }

    /// The same, and at the end the longest live prefix that is masked there.
    pub(super) fn covered(&self, text: &[u8]) -> Vec<bool> {
        let mut covered = self.occurrences(text);
        for pattern in self.patterns.iter().map(|pattern| searched(pattern)) {
            for length in 1..pattern.len() {
                let qualifies = length >= 8 || length * 2 >= pattern.len();
                if qualifies && text.ends_with(&pattern[..length]) {
                    let start = text.len() - length;
                    covered[start..].fill(true);
                }
            }
        }
        covered
    }

    /// The longest suffix of `text` that is a proper prefix of a pattern.
    pub(super) fn live(&self, text: &[u8]) -> usize {
        let patterns = self.patterns.iter().map(|pattern| searched(pattern));
        let prefixes = patterns.flat_map(|pattern| (0..pattern.len()).map(|end| &pattern[..end]));
        prefixes.filter(|prefix| text.ends_with(prefix)).map(<[u8]>::len).max().unwrap_or(0)
    }

    /// Checks what comes out, and after each chunk that no more is held back than must be.
    pub(super) fn check(&self, text: &[u8], cuts: &[usize], way: Way) {
        let mut masker = Masker::new(&self.set);
        let mut out = Vec::new();
        for cut in cuts.windows(2) {
            push(&mut masker, &text[cut[0]..cut[1]], way, &mut out);
            let live = self.live(&text[..cut[1]]);
            assert_eq!(masker.held.len(), live, "held: {}", self.told(text, cuts, way));
        }
        masker.finish(&mut out);
        let expected = shown(text, &self.covered(text)).escape_ascii().to_string();
        let out = out.escape_ascii().to_string();
        assert_eq!(out, expected, "{}", self.told(text, cuts, way));
    }

    fn told(&self, text: &[u8], cuts: &[usize], way: Way) -> String {
        let patterns: Vec<_> = self.patterns.iter().map(|p| p.escape_ascii().to_string()).collect();
        format!(
            "patterns {patterns:?} text {:?} cuts {cuts:?} {way:?}",
            text.escape_ascii().to_string()
        )
    }
}

/// A text, each run of covered bytes of which is one mask.
pub(super) fn shown(text: &[u8], covered: &[bool]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        if !covered[at] {
            out.push(*byte);
        } else if at == 0 || !covered[at - 1] {
            out.extend_from_slice(MASK);
        }
    }
    out
}

pub(super) fn push(masker: &mut Masker, chunk: &[u8], way: Way, out: &mut Vec<u8>) {
    match way {
        Way::Push => masker.push(chunk, out),
        Way::Pass => {
            masker.pass(Bytes::copy_from_slice(chunk), |bytes| out.extend_from_slice(&bytes));
        }
    }
}

/// The part of a pattern that is searched for.
fn searched(pattern: &[u8]) -> &[u8] {
    if pattern.len() > MAX_FORM { &pattern[..ANCHOR] } else { pattern }
}

fn cover_occurrences(pattern: &[u8], text: &[u8], covered: &mut [bool]) {
    let searched = searched(pattern);
    for (start, window) in text.windows(searched.len()).enumerate() {
        if window == searched {
            let pairs = pattern.iter().zip(&text[start..]);
            let length = pairs.take_while(|(form, byte)| form == byte).count();
            covered[start..start + length].fill(true);
        }
    }
}
