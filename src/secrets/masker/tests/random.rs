//! Numbers with a fixed beginning, so that a failure can be had again, and texts made of them.

/// A small generator (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((word ^ (word >> 31)) % limit as u64).unwrap()
    }

    pub(super) fn bytes(&mut self, length: usize, letters: u8) -> Vec<u8> {
        (0..length).map(|_| b'a' + u8::try_from(self.below(letters.into())).unwrap()).collect()
    }

    /// One to five patterns of these lengths.
    pub(super) fn patterns(
        &mut self,
        (shortest, longest): (usize, usize),
        letters: u8,
    ) -> Vec<Vec<u8>> {
        let pattern = |random: &mut Self| {
            let length = shortest + random.below(longest - shortest + 1);
            random.bytes(length, letters)
        };
        (0..=self.below(4)).map(|_| pattern(self)).collect()
    }

    /// Whole patterns, beginnings of patterns and noise, in any order.
    pub(super) fn text(&mut self, patterns: &[Vec<u8>], letters: u8) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..self.below(6) {
            let pattern = &patterns[self.below(patterns.len())];
            match self.below(3) {
                0 => {
                    let length = self.below(pattern.len() * 2);
                    text.extend(self.bytes(length, letters + 1));
                }
                1 => text.extend_from_slice(pattern),
                _ => text.extend_from_slice(&pattern[..self.below(pattern.len())]),
            }
        }
        text
    }

    /// Positions at which a text of this length is cut into chunks, both ends among them.
    pub(super) fn cuts(&mut self, length: usize) -> Vec<usize> {
        let mut cuts: Vec<_> = (0..self.below(5)).map(|_| self.below(length + 1)).collect();
        cuts.extend([0, length]);
        cuts.sort_unstable();
        cuts
    }
}
