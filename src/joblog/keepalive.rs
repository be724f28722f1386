//! Decides where in a stage's output an invisible keep-alive may stand. Pure: it sees bytes, not time.
//!
//! GitLab Runner learns of a cancel when it sends the trace, and a silent job sends it every 30 s only
//! (measured: a cancel reached a silent job 27 s late). An empty erase makes it send sooner.

/// The bytes of one keep-alive: "back to the line's start, erase to its end", which shows nothing there.
///
/// The carriage return is what makes the runner's time stamper (19.x) pass bytes on before the line ends;
/// it would wipe out half a line, so a keep-alive stands at a line's start only.
pub const KEEP_ALIVE: &[u8] = b"\r\x1b[0K";

const ESC: u8 = 0x1b;

/// Bytes of the longest UTF-8 character.
const LONGEST_CHARACTER: usize = 4;

/// Follows a byte stream and knows whether a keep-alive would cut something in two.
#[derive(Debug)]
pub struct Position {
    escape: Escape,
    at_line_start: bool,
    /// Continuation bytes that the current UTF-8 character still lacks.
    missing: u8,
}

impl Default for Position {
    fn default() -> Self {
        Self { escape: Escape::Outside, at_line_start: true, missing: 0 }
    }
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
        self.at_line_start && self.escape == Escape::Outside && self.missing == 0
    }

    fn step(&mut self, byte: u8) {
        self.at_line_start = byte == b'\n';
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
    fn only_at_the_start_of_a_line() {
        assert!(clear_after(b""));
        assert!(clear_after(b"line\n"));
        assert!(!clear_after(b"half a line"));
    }

    #[test]
    fn never_inside_an_escape_sequence() {
        assert!(!clear_after(b"\x1b]0;two\nlines"));
        assert!(!clear_after(b"\x1b]0;two\n"));
        assert!(clear_after(b"\x1b]0;title\x07\n"));
        assert!(clear_after(b"\x1b]0;title\x1b\\\n"));
        assert!(clear_after(b"\x1b(B\n"));
        assert!(clear_after(b"\x1b[31mred\n"));
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
        assert!(!clear_after(&long));
        long.push(b'\n');
        assert!(clear_after(&long));
    }
}
