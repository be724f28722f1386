//! The automaton over all forms of a set: walks bytes, reports matches, and knows for each state how
//! much of what it has seen may still become a match. Holds no stream position and no output.

use std::ops::Range;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton as Machine, StateID};
use aho_corasick::{Anchored, BuildError, StartKind, dfa, nfa::contiguous};

use super::follow::{ANCHOR, Followers};
use super::forms::{Form, Forms};
use super::grams::Grams;
use super::lengths::{self, LengthTable};

/// Above this many pattern bytes the table of a DFA is too large to be worth its speed.
const MAX_DFA_PATTERN_BYTES: usize = 24 << 10;

/// How far a stream has come: the state of the automaton, and the long forms it is in the middle of.
#[derive(Clone, Default)]
pub(super) struct Place {
    state: StateID,
    pub(super) followers: Followers,
}

impl Place {
    /// Whether both go on alike, whatever comes.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        self.state == other.state && self.followers.is_empty() && other.followers.is_empty()
    }
}

/// Bytes `start..end` of a stream that are part of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Adds a match to an ordered list of spans that neither touch nor overlap. Its end must not lie before
/// the ends of those there, which is the order in which an automaton finds matches.
pub(super) fn merge(spans: &mut Vec<Span>, mut new: Span) {
    while let Some(last) = spans.last() {
        if last.end < new.start {
            break;
        }
        new.start = new.start.min(last.start);
        spans.pop();
    }
    spans.push(new);
}

/// Adds spans in any order to an ordered list that neither touch nor overlap.
pub(super) fn cover(spans: &mut Vec<Span>, more: impl IntoIterator<Item = Span>) {
    spans.extend(more);
    spans.sort_unstable_by_key(|span| span.start);
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans.drain(..) {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    *spans = merged;
}

enum Machines {
    Dfa(dfa::DFA),
    Nfa(contiguous::NFA),
}

/// The compiled patterns of a set.
pub(super) struct Automaton {
    machine: Machines,
    start: StateID,
    lengths: LengthTable,
    grams: Option<Grams>,
    /// The long forms that begin with a pattern, by the pattern's index.
    long: Vec<(usize, Arc<Form>)>,
}

impl Automaton {
    /// Compiles forms; `None` when there are none.
    pub(super) fn new(forms: Forms) -> Result<Option<Self>, BuildError> {
        let patterns: Vec<Form> = forms.patterns.into_iter().collect();
        let bytes: usize = patterns.iter().map(|pattern| pattern.as_ref().len()).sum();
        if bytes == 0 {
            return Ok(None);
        }
        let (machine, start, lengths);
        if bytes <= MAX_DFA_PATTERN_BYTES {
            let mut builder = dfa::Builder::new();
            let dfa =
                builder.start_kind(StartKind::Unanchored).prefilter(false).build(&patterns)?;
            (start, lengths) = (lengths::start(&dfa), LengthTable::new(&dfa, &patterns));
            machine = Machines::Dfa(dfa);
        } else {
            let nfa = contiguous::Builder::new().prefilter(false).build(&patterns)?;
            (start, lengths) = (lengths::start(&nfa), LengthTable::new(&nfa, &patterns));
            machine = Machines::Nfa(nfa);
        }
        let anchor = |form: Form| {
            let index = patterns.binary_search_by(|one| one.as_ref().cmp(&form.as_ref()[..ANCHOR]));
            Some((index.ok()?, Arc::new(form)))
        };
        let long = forms.long.into_iter().filter_map(anchor).collect();
        Ok(Some(Self { machine, start, lengths, grams: Grams::new(&patterns), long }))
    }

    /// Before the first byte.
    pub(super) fn start(&self) -> Place {
        Place { state: self.start, followers: Followers::default() }
    }

    /// Length of the longest suffix that may still become a match.
    pub(super) fn hold(&self, place: &Place) -> usize {
        self.lengths.get(place.state).hold.into()
    }

    /// Length of the suffix to mask if the stream ends here.
    pub(super) fn close(&self, place: &Place) -> usize {
        self.lengths.get(place.state).close.into()
    }

    /// Walks over `input`, whose first byte has position `origin`, and tells the matches by their ends; of
    /// a long form what follows its anchor, byte by byte.
    pub(super) fn scan(
        &self,
        place: &mut Place,
        (input, origin): (&[u8], usize),
        found: impl FnMut(Span),
    ) {
        let mut scan = Scan { automaton: self, input, origin, place, found };
        match &self.machine {
            Machines::Dfa(dfa) => scan.run(dfa),
            Machines::Nfa(nfa) => scan.run(nfa),
        }
    }

    /// The long forms that begin with this pattern.
    fn long_forms(&self, pattern: usize) -> impl Iterator<Item = &Arc<Form>> {
        self.long.iter().filter(move |(anchor, _)| *anchor == pattern).map(|(_, form)| form)
    }
}

struct Scan<'a, F> {
    automaton: &'a Automaton,
    input: &'a [u8],
    origin: usize,
    place: &'a mut Place,
    found: F,
}

impl<F: FnMut(Span)> Scan<'_, F> {
    /// Alternates between skipping clean text and walking wherever a form may begin.
    fn run<M: Machine>(&mut self, machine: &M) {
        let Some(grams) = &self.automaton.grams else {
            return self.walk(machine, 0..self.input.len());
        };
        let mut at = 0;
        while at < self.input.len() {
            if let Some(clean) = self.skip(grams, at) {
                at = clean;
                self.place.state = self.automaton.start;
            }
            let end = (at + grams.stride()).min(self.input.len());
            self.walk(machine, at..end);
            at = end;
        }
    }

    /// Where to go on from `at`, if the text between is clean.
    fn skip(&self, grams: &Grams, at: usize) -> Option<usize> {
        let live = self.automaton.hold(self.place);
        // A skip looks at windows that begin where the live prefix does; one that began in an
        // earlier chunk, or is longer than a skip, has to be walked to its end.
        if live > at || live >= grams.skip() || !self.place.followers.is_empty() {
            return None;
        }
        Some(grams.skip_clean(self.input, at - live)).filter(|clean| *clean > at)
    }

    fn walk<M: Machine>(&mut self, machine: &M, range: Range<usize>) {
        let first_end = self.origin + range.start + 1;
        let mut state = self.place.state;
        for (index, &byte) in self.input[range].iter().enumerate() {
            let end = first_end + index;
            state = machine.next_state(Anchored::No, state, byte);
            if !self.place.followers.is_empty() && self.place.followers.step(byte) {
                (self.found)(Span { start: end - 1, end });
            }
            if machine.is_special(state) && machine.is_match(state) {
                let length = usize::from(self.automaton.lengths.get(state).longest_match);
                (self.found)(Span { start: end - length, end });
                self.follow(machine, state);
            }
        }
        self.place.state = state;
    }

    /// Begins to compare what comes with the long forms whose anchors end here.
    fn follow<M: Machine>(&mut self, machine: &M, state: StateID) {
        if self.automaton.long.is_empty() {
            return;
        }
        for index in 0..machine.match_len(state) {
            let pattern = machine.match_pattern(state, index).as_usize();
            for form in self.automaton.long_forms(pattern) {
                self.place.followers.start(form);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn automaton<const N: usize>(patterns: [&[u8]; N]) -> Automaton {
        let mut forms = Forms::default();
        for pattern in patterns {
            forms.add(pattern.to_vec(), 1);
        }
        Automaton::new(forms).unwrap().unwrap()
    }

    #[test]
    fn only_a_large_set_does_without_the_fast_machine() {
        assert!(matches!(automaton([b"a secret"]).machine, Machines::Dfa(_)));
        let large: Vec<[u8; 1024]> = (0..25).map(|letter| [letter; 1024]).collect();
        let large: [&[u8]; 25] = std::array::from_fn(|index| large[index].as_slice());
        assert!(matches!(automaton(large).machine, Machines::Nfa(_)));
    }

    /// Where a scan goes on that has walked over the first `walked` bytes of `text`, of which it still
    /// has the last ones at hand.
    fn skip(pattern: &[u8], text: &[u8], walked: usize, at_hand: usize) -> Option<usize> {
        let automaton = automaton([pattern]);
        let mut place = automaton.start();
        automaton.scan(&mut place, (&text[..walked], 0), drop);
        let (input, place) = (&text[walked - at_hand..], &mut place);
        let scan = Scan { automaton: &automaton, input, origin: 0, place, found: drop::<Span> };
        scan.skip(automaton.grams.as_ref().unwrap(), at_hand)
    }

    #[test]
    fn clean_text_is_skipped_and_what_may_begin_a_match_is_not() {
        let pattern = b"0123456789abcdefghij";
        let after = |walked: &str| [walked.as_bytes(), &[b'.'; 17 * 6]].concat();
        assert_eq!(skip(pattern, &after(""), 0, 0), Some(17 * 5));
        assert_eq!(skip(pattern, &after("0123"), 4, 4), Some(17 * 6));
        // The live prefix began in an earlier chunk.
        assert_eq!(skip(pattern, &after("0123"), 4, 3), None);
        assert_eq!(skip(pattern, &after("0123456789abcdefghi"), 19, 19), None);
        assert_eq!(skip(pattern, pattern, 0, 0), None);
    }
}
