//! The text without its colours: what a terminal would show, followed beside the text itself, so that a
//! secret is found though ANSI control sequences (ESC `[` ... letter) stand between its bytes. It releases
//! nothing; the text itself stays what is held back and masked.
//!
//! Both are searched: in a sequence that was not finished (`\e[1` and the secret without an `m`) the first
//! byte of the secret would be taken for the sequence's end.

use super::automaton::{Automaton, Place, Span, cover, merge};

const ESCAPE: u8 = 0x1b;

/// Where in a control sequence a stream is. Source: ECMA-48, 5.4.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// After ESC `[`: parameters and intermediate bytes.
    Inside,
}

impl Sequence {
    /// Takes the next byte; answers whether it is text. It needs no look ahead: what was taken for a
    /// sequence and turns out to be none stays no text.
    fn step(&mut self, byte: u8) -> bool {
        let is_text;
        (*self, is_text) = match (*self, byte) {
            (_, ESCAPE) => (Self::Begun, false),
            (Self::Begun, b'[') | (Self::Inside, 0x20..=0x3f) => (Self::Inside, false),
            (Self::Inside, 0x40..=0x7e) => (Self::None, false),
            _ => (Self::None, true),
        };
        is_text
    }
}

/// Text that goes on where the bytes of the stream do: the byte at `from` is that at `from + shift`.
#[derive(Clone, Copy)]
struct Run {
    from: usize,
    shift: isize,
}

/// Its own way through the automaton, once a sequence has been seen. Positions are the text's own; what
/// is said of the stream is, as in the masker, relative to the first byte held there.
struct Apart {
    place: Place,
    end: usize,
    runs: Vec<Run>,
}

/// The text without control sequences of one stream. While there were none, it is the stream.
#[derive(Default)]
pub(super) struct Bare {
    sequence: Sequence,
    apart: Option<Apart>,
}

impl Bare {
    /// Walks both over `input`, whose first byte has position `origin`, and adds what is to be masked.
    pub(super) fn scan(
        &mut self,
        automaton: &Automaton,
        place: &mut Place,
        (input, origin): (&[u8], usize),
        spans: &mut Vec<Span>,
    ) {
        let mut from = 0;
        if self.apart.is_none() {
            from = input.iter().position(|byte| *byte == ESCAPE).unwrap_or(input.len());
            automaton.scan(place, (&input[..from], origin), |span| merge(spans, span));
            if from == input.len() {
                return;
            }
            let runs = vec![Run { from: 0, shift: 0 }];
            self.apart = Some(Apart { place: place.clone(), end: origin + from, runs });
        }
        let rest = (&input[from..], origin + from);
        automaton.scan(place, rest, |span| merge(spans, span));
        let Some(apart) = &mut self.apart else { return };
        apart.scan(automaton, &mut self.sequence, rest, spans);
        // The same state over the same bytes: those of the text may stand before a sequence.
        let is_same = apart.place.is_at(place) && self.sequence == Sequence::None;
        if is_same && self.hold(automaton, origin + input.len()) == automaton.hold(place) {
            self.apart = None;
        }
    }

    /// How many of the stream's last bytes, up to `total`, may still become a match.
    pub(super) fn hold(&self, automaton: &Automaton, total: usize) -> usize {
        self.last(total, |place| automaton.hold(place)).map_or(0, |span| total - span.start)
    }

    /// What to mask if the stream ends here.
    pub(super) fn close(&self, automaton: &Automaton, total: usize) -> Option<Span> {
        self.last(total, |place| automaton.close(place))
    }

    fn last(&self, total: usize, length: impl Fn(&Place) -> usize) -> Option<Span> {
        let apart = self.apart.as_ref()?;
        let length = length(&apart.place);
        let span = (length > 0).then(|| apart.span(apart.end - length, apart.end))?;
        Some(Span { end: span.end.min(total), ..span })
    }

    /// Moves the origin of the stream's positions.
    pub(super) fn forget(&mut self, decided: usize) {
        let Some(apart) = &mut self.apart else { return };
        for run in &mut apart.runs {
            run.shift -= decided.cast_signed();
        }
        // What lies before the origin has left; a later set is not looked for in it.
        let gone = |pair: &&[Run]| pair[1].from.cast_signed() + pair[0].shift <= 0;
        let gone = apart.runs.windows(2).take_while(gone).count();
        apart.runs.drain(..gone);
    }

    /// Goes on with another set, which was found at `place` behind all of `held`.
    pub(super) fn switch(&mut self, automaton: &Automaton, held: &[u8], spans: &mut Vec<Span>) {
        let Some(apart) = &mut self.apart else { return };
        let mut texts = Vec::new();
        let ends = apart.runs.iter().skip(1).map(|run| run.from).chain([apart.end]);
        for (run, end) in apart.runs.iter().zip(ends) {
            let at = |position: usize| {
                let at = usize::try_from(position.cast_signed() + run.shift).unwrap_or(0);
                at.min(held.len())
            };
            let origin = run.from.max(usize::try_from(-run.shift).unwrap_or(0)).min(end);
            texts.push((&held[at(origin)..at(end)], origin));
        }
        let in_held: usize = texts.iter().map(|(text, _)| text.len()).sum();
        let older = std::mem::take(&mut apart.place.followers).older_than(in_held);
        apart.place = automaton.start();
        let mut found = Vec::new();
        for text in texts {
            automaton.scan(&mut apart.place, text, |span| found.push(span));
        }
        apart.place.followers.append(older);
        apart.add(&found, spans);
    }
}

impl Apart {
    fn scan(
        &mut self,
        automaton: &Automaton,
        sequence: &mut Sequence,
        (input, origin): (&[u8], usize),
        spans: &mut Vec<Span>,
    ) {
        let mut found = Vec::new();
        let mut at = 0;
        while at < input.len() {
            if !sequence.step(input[at]) {
                at += 1;
                continue;
            }
            // The byte after text is text too, unless it is an escape.
            let length = input[at..].iter().position(|byte| *byte == ESCAPE);
            let end = length.map_or(input.len(), |length| at + length);
            let shift = (origin + at).cast_signed() - self.end.cast_signed();
            if self.runs.last().is_none_or(|run| run.shift != shift) {
                self.runs.push(Run { from: self.end, shift });
            }
            let text = (&input[at..end], self.end);
            automaton.scan(&mut self.place, text, |span| found.push(span));
            self.end += end - at;
            at = end;
        }
        self.add(&found, spans);
    }

    /// Adds matches in the text to what is masked of the stream, the sequences in them too.
    fn add(&self, found: &[Span], spans: &mut Vec<Span>) {
        if !found.is_empty() {
            cover(spans, found.iter().map(|span| self.span(span.start, span.end)));
        }
    }

    /// Where bytes of the text, at least one, are in the stream.
    fn span(&self, start: usize, end: usize) -> Span {
        Span { start: self.position(start), end: self.position(end - 1) + 1 }
    }

    fn position(&self, of: usize) -> usize {
        let run = self.runs.partition_point(|run| run.from <= of).saturating_sub(1);
        let shift = self.runs.get(run).map_or(0, |run| run.shift);
        // One before the origin belongs to a mask that has been written.
        usize::try_from(of.cast_signed() + shift).unwrap_or(0)
    }
}
