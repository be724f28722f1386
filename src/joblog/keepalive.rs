//! Decides where in a stage's output an invisible keep-alive may stand. Pure: it sees bytes, not time.
//!
//! GitLab Runner learns of a cancel when it sends the trace, and a silent job sends it every 30 s only
//! (measured: a cancel reached a silent job 27 s late). An empty erase makes it send sooner.

/// The bytes of one keep-alive: "erase to the end of the line", which shows nothing.
pub const KEEP_ALIVE: &[u8] = b"\x1b[0K";

const ESC: u8 = 0x1b;

/// Bytes of the longest UTF-8 character.
const LONGEST_CHARACTER: usize = 4;

/// Follows a byte stream and knows whether a keep-alive would cut something in two.
#[derive(Debug, Default)]
pub struct Position {
    escape: Escape,
    /// Continuation bytes that the current UTF-8 character still lacks.
    missing: u8,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    Outside,
    /// After ESC.
    Start,
    /// Inside `ESC [ ...`, until a final byte.
    Control,
    /// Inside `ESC ] ...` (and its kin), until BEL or ESC \.
    Text,
}

impl Position {
    /// Takes note of bytes that were written.
    pub fn advance(&mut self, bytes: &[u8]) {
        // Long output is skipped but for its tail: an escape sequence that long is none.
        let tail = bytes.len().saturating_sub(4096);
        if tail > 0 {
            *self = Self::default();
        }
        let bytes = &bytes[tail..];
        // Where no sequence begins or goes on, only the last character, of four bytes at most, can be
        // cut; stepping through all of a log took a third of the driver's time.
        let plain = self.escape == Escape::Outside && !bytes.contains(&ESC);
        let from = if plain { bytes.len().saturating_sub(LONGEST_CHARACTER) } else { 0 };
        for &byte in &bytes[from..] {
            self.step(byte);
        }
    }

    /// Whether a keep-alive may be written here.
    pub fn is_clear(&self) -> bool {
        self.escape == Escape::Outside && self.missing == 0
    }

    fn step(&mut self, byte: u8) {
        self.escape = match (&self.escape, byte) {
            (Escape::Text, 0x07) => Escape::Outside,
            (_, ESC) | (Escape::Start, 0x20..=0x2f) => Escape::Start,
            (Escape::Start, b'[') | (Escape::Control, 0x20..=0x3f) => Escape::Control,
            (Escape::Start, b']' | b'P' | b'X' | b'^' | b'_') | (Escape::Text, _) => Escape::Text,
            _ => Escape::Outside,
        };
        self.missing = match byte {
            0x80..=0xbf => self.missing.saturating_sub(1),
            0xc2..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clear_after(bytes: &[u8]) -> bool {
        let mut position = Position::default();
        position.advance(bytes);
        position.is_clear()
    }

    #[test]
    fn plain_text_is_clear_anywhere() {
        assert!(clear_after(b""));
        assert!(clear_after(b"half a line"));
        assert!(clear_after(b"line\n"));
    }

    #[test]
    fn never_inside_an_escape_sequence() {
        assert!(!clear_after(b"\x1b"));
        assert!(!clear_after(b"\x1b[31"));
        assert!(clear_after(b"\x1b[31m"));
        assert!(!clear_after(b"\x1b]0;title"));
        assert!(clear_after(b"\x1b]0;title\x07"));
        assert!(clear_after(b"\x1b]0;title\x1b\\"));
        assert!(!clear_after(b"\x1b(" as &[u8]));
        assert!(clear_after(b"\x1b(B"));
    }

    #[test]
    fn never_inside_a_character() {
        let euro = "\u{20ac}".as_bytes();
        assert!(!clear_after(&euro[..1]));
        assert!(!clear_after(&euro[..2]));
        assert!(clear_after(euro));
    }

    #[test]
    fn wherever_the_stream_is_cut_the_judgement_is_the_same() {
        let stream =
            "plain \u{20ac}\u{1f600} text \x1b[31mred\x1b]0;\u{20ac} title\x07 \u{1f600}end"
                .as_bytes();
        for end in 0..=stream.len() {
            let mut bytewise = Position::default();
            stream[..end].iter().for_each(|byte| bytewise.step(*byte));
            for cut in 0..=end {
                let mut position = Position::default();
                position.advance(&stream[..cut]);
                position.advance(&stream[cut..end]);
                assert_eq!(position.is_clear(), bytewise.is_clear(), "{cut} of {end}");
            }
        }
    }

    #[test]
    fn long_output_is_judged_by_its_tail() {
        let mut long = vec![b'x'; 10_000];
        long.extend_from_slice(b"\x1b[3");
        assert!(!clear_after(&long));
    }
}
