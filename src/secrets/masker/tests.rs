//! The streaming masker against an oracle that sees the whole text, and its forms.

use super::automaton::{Span, merge};
use super::{MASK, MaskSet, Masker};

/// A small generator with a fixed beginning, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((word ^ (word >> 31)) % limit as u64).unwrap()
    }

    fn bytes(&mut self, length: usize, letters: u8) -> Vec<u8> {
        (0..length).map(|_| b'a' + u8::try_from(self.below(letters.into())).unwrap()).collect()
    }
}

/// What the requirements say, over the whole text at once: every byte of every occurrence is covered,
/// the longest qualifying live prefix at the end too, and each run of covered bytes is one mask.
fn oracle(patterns: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut covered = vec![false; text.len()];
    for pattern in patterns {
        for (start, window) in text.windows(pattern.len()).enumerate() {
            if window == pattern.as_slice() {
                covered[start..start + pattern.len()].fill(true);
            }
        }
        for length in 1..pattern.len() {
            let qualifies = length >= 8 || length * 2 >= pattern.len();
            if qualifies && text.ends_with(&pattern[..length]) {
                let start = text.len() - length;
                covered[start..].fill(true);
            }
        }
    }
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

/// The longest suffix of `text` that is a proper prefix of a pattern.
fn live(patterns: &[Vec<u8>], text: &[u8]) -> usize {
    let prefixes =
        patterns.iter().flat_map(|pattern| (0..pattern.len()).map(|end| &pattern[..end]));
    prefixes.filter(|prefix| text.ends_with(prefix)).map(<[u8]>::len).max().unwrap_or(0)
}

/// A set of patterns, and the same set compiled.
struct Patterns {
    patterns: Vec<Vec<u8>>,
    set: MaskSet,
}

impl Patterns {
    fn new(random: &mut Random, (shortest, longest): (usize, usize), letters: u8) -> Self {
        let pattern = |random: &mut Random| {
            let length = shortest + random.below(longest - shortest + 1);
            random.bytes(length, letters)
        };
        let patterns: Vec<_> = (0..=random.below(4)).map(|_| pattern(random)).collect();
        Self { set: MaskSet::of_patterns(&patterns), patterns }
    }

    /// Whole patterns, beginnings of patterns and noise, in any order.
    fn text(&self, random: &mut Random, letters: u8) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..random.below(6) {
            let pattern = &self.patterns[random.below(self.patterns.len())];
            match random.below(3) {
                0 => {
                    let length = random.below(pattern.len() * 2);
                    text.extend(random.bytes(length, letters + 1));
                }
                1 => text.extend_from_slice(pattern),
                _ => text.extend_from_slice(&pattern[..random.below(pattern.len())]),
            }
        }
        text
    }

    fn check(&self, text: &[u8], cuts: &[usize]) {
        let told = || {
            let patterns: Vec<_> =
                self.patterns.iter().map(|p| p.escape_ascii().to_string()).collect();
            format!(
                "patterns {patterns:?} text {:?} cuts {cuts:?}",
                text.escape_ascii().to_string()
            )
        };
        let mut masker = Masker::new(&self.set);
        let mut out = Vec::new();
        for cut in cuts.windows(2) {
            masker.push(&text[cut[0]..cut[1]], &mut out);
            assert_eq!(
                masker.held.len(),
                live(&self.patterns, &text[..cut[1]]),
                "held: {}",
                told()
            );
        }
        masker.finish(&mut out);
        let expected = oracle(&self.patterns, text);
        let (out, expected) = (out.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(out, expected, "{}", told());
    }
}

fn cuts(random: &mut Random, length: usize) -> Vec<usize> {
    let mut cuts: Vec<_> = (0..random.below(5)).map(|_| random.below(length + 1)).collect();
    cuts.extend([0, length]);
    cuts.sort_unstable();
    cuts
}

/// How many cases: a hundred thousand, or what `LONGSHORE_MASKER_CASES` says.
fn cases() -> u64 {
    std::env::var("LONGSHORE_MASKER_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000)
}

#[test]
fn any_chunking_equals_the_oracle() {
    const TEXTS_PER_SET: u64 = 10;
    for seed in 0..cases() / TEXTS_PER_SET {
        let mut random = Random(seed);
        // The longer ones let the skipping of clean text take part.
        let (lengths, letters) = match seed % 4 {
            0 => ((1, 6), 2),
            1 => ((4, 12), 2),
            2 => ((8, 24), 2),
            _ => ((8, 20), 12),
        };
        let patterns = Patterns::new(&mut random, lengths, letters);
        for _ in 0..TEXTS_PER_SET {
            let text = patterns.text(&mut random, letters);
            let cuts = cuts(&mut random, text.len());
            patterns.check(&text, &cuts);
        }
    }
}

#[test]
fn a_prefix_is_held_and_no_more() {
    let set = MaskSet::of_patterns(&[b"hunter2-secret".to_vec()]);
    let mut masker = Masker::new(&set);
    let mut out = Vec::new();
    masker.push(b"Password (no newline): ", &mut out);
    assert_eq!(out, b"Password (no newline): ");
    masker.push(b"hunt", &mut out);
    assert_eq!(masker.held.as_slice(), b"hunt");
    masker.push(b"ing", &mut out);
    assert_eq!(out, b"Password (no newline): hunting");
    assert!(masker.held.is_empty());
}

#[test]
fn touching_and_overlapping_spans_become_one() {
    let mut spans = Vec::new();
    for (start, end) in [(0, 3), (5, 8), (7, 9), (9, 10), (4, 11), (12, 13), (13, 14)] {
        merge(&mut spans, Span { start, end });
    }
    let expected = [(0, 3), (4, 11), (12, 14)].map(|(start, end)| Span { start, end });
    assert_eq!(spans, expected);
}
