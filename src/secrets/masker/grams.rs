//! A fast way past clean text: a window of text that ends in four bytes which no pattern has near its
//! beginning cannot hold the beginning of a match, so nearly a whole pattern length is skipped at once.
//! Decides nothing on its own: where it stops, the automaton walks.

use super::forms::Form;

const GRAM: usize = 4;
/// Below this the automaton is not called for: stopping and starting costs more than walking on.
const MIN_STRIDE: usize = 16;
const MAX_WINDOW: usize = 64;
const BITS_PER_GRAM: usize = 16;
/// Grams looked at before a window is taken for one that may hold the beginning of a match.
const LOOKS_BACK: usize = 4;

/// The four-byte strings that occur in the first `window` bytes of the patterns, as a bitmap of hashes.
pub(super) struct Grams {
    bits: Vec<u64>,
    hash_shift: u32,
    window: usize,
}

impl Grams {
    /// `None` where a pattern is shorter than a gram.
    pub(super) fn new(patterns: &[Form]) -> Option<Self> {
        let window = patterns.iter().map(|pattern| pattern.as_ref().len()).min()?.min(MAX_WINDOW);
        if window < GRAM {
            return None;
        }
        let grams = patterns.len() * (window - GRAM + 1);
        let size = (grams * BITS_PER_GRAM).next_power_of_two().clamp(1 << 13, 1 << 22);
        let mut this = Self { bits: vec![0; size / 64], hash_shift: 32 - size.ilog2(), window };
        for pattern in patterns {
            for gram in pattern.as_ref()[..window].windows(GRAM) {
                let bit = this.hash(gram);
                this.bits[bit / 64] |= 1 << (bit % 64);
            }
        }
        Some(this)
    }

    /// How far one clean window leads.
    pub(super) fn skip(&self) -> usize {
        self.window - GRAM + 1
    }

    /// How many bytes to walk where a window is not clean.
    pub(super) fn stride(&self) -> usize {
        self.skip().max(MIN_STRIDE)
    }

    /// From `at` on, the first position at which a match may begin as far as whole windows tell: none
    /// begins in `at..returned`, and nothing that begins there is still live at the window's end.
    pub(super) fn skip_clean(&self, input: &[u8], mut at: usize) -> usize {
        let tail = self.window - GRAM;
        while let Some(gram) = input.get(at + tail..at + self.window) {
            if !self.has(gram) {
                at += tail + 1;
                continue;
            }
            match self.clean_before(&input[at..at + self.window]) {
                Some(length) => at += length,
                None => break,
            }
        }
        at
    }

    /// Looks at the grams before the last one of a window, whose own is in the bitmap: where one is not,
    /// no match begins before its end but for its last three bytes.
    #[cold]
    fn clean_before(&self, window: &[u8]) -> Option<usize> {
        let earlier = window[..window.len() - 1].windows(GRAM).rev().take(LOOKS_BACK);
        let clean = earlier.into_iter().position(|gram| !self.has(gram))?;
        Some(window.len() - GRAM - clean)
    }

    fn has(&self, gram: &[u8]) -> bool {
        let bit = self.hash(gram);
        self.bits[bit / 64] & (1 << (bit % 64)) != 0
    }

    fn hash(&self, gram: &[u8]) -> usize {
        let word = gram.try_into().map_or(0, u32::from_le_bytes);
        (word.wrapping_mul(0x9E37_79B1) >> self.hash_shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::forms::Forms;
    use super::*;

    fn grams(pattern: &[u8]) -> Option<Grams> {
        let mut forms = Forms::default();
        forms.add(pattern.to_vec(), 1);
        Grams::new(&forms.patterns.into_iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_window_is_as_long_as_the_shortest_pattern_and_no_longer_than_64() {
        for (length, skip, stride) in
            [(4, 1, 16), (5, 2, 16), (20, 17, 17), (64, 61, 61), (99, 61, 61)]
        {
            let grams = grams(&vec![b'x'; length]).unwrap();
            assert_eq!((grams.skip(), grams.stride()), (skip, stride), "{length}");
        }
        assert!(grams(b"abc").is_none());
        assert!(Grams::new(&[]).is_none());
    }

    /// The window ends in bytes that a pattern has, those before them are in none.
    #[test]
    fn a_window_whose_end_only_looks_like_a_pattern_is_skipped_as_far_as_it_is_clean() {
        let grams = grams(b"0123456789").unwrap();
        for (text, clean) in [
            ("......3456", 6),
            ("......3456......", 13),
            (".....34567", 5),
            ("...3456789", 3),
            ("..23456789", 0),
        ] {
            assert_eq!(grams.skip_clean(text.as_bytes(), 0), clean, "{text}");
        }
        for before in 0..=9 {
            let text = [&vec![b'.'; before], b"0123456789.....".as_slice()].concat();
            assert!((0..=before).contains(&grams.skip_clean(&text, 0)), "{before}");
        }
    }
}
