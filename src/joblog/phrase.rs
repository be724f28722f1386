//! Looks for one phrase in a stream that comes in pieces. It keeps no more of it than the phrase is long.

/// A phrase, and whether it has been seen.
#[derive(Debug)]
pub struct Phrase {
    wanted: &'static [u8],
    tail: Vec<u8>,
    seen: bool,
}

impl Phrase {
    /// Looks for these bytes from now on.
    pub fn new(wanted: &'static [u8]) -> Self {
        Self { wanted, tail: Vec::new(), seen: false }
    }

    /// Takes the next piece of the stream.
    pub fn advance(&mut self, bytes: &[u8]) {
        if self.seen || self.wanted.is_empty() {
            return;
        }
        let holds = |bytes: &[u8]| bytes.windows(self.wanted.len()).any(|part| part == self.wanted);
        let keep = self.wanted.len() - 1;
        let head = &bytes[..bytes.len().min(keep)];
        self.tail.extend_from_slice(head);
        self.seen = holds(&self.tail) || holds(bytes);
        if bytes.len() > keep {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - keep..]);
        } else {
            let surplus = self.tail.len().saturating_sub(keep);
            self.tail.drain(..surplus);
        }
    }

    /// Whether it was there.
    pub fn is_seen(&self) -> bool {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_seen_wherever_it_is_cut() {
        let text = b"xx needle yy";
        for size in 1..=text.len() {
            let mut phrase = Phrase::new(b"needle");
            text.chunks(size).for_each(|piece| phrase.advance(piece));
            assert!(phrase.is_seen(), "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_seen() {
        let mut phrase = Phrase::new(b"needle");
        for piece in [&b"need"[..], b"-", b"le", b"", b"nee", b"dl"] {
            phrase.advance(piece);
        }
        assert!(!phrase.is_seen());
    }
}
