//! The automaton over all forms of a set: walks bytes, reports matches, and knows for each state how
//! much of what it has seen may still become a match. Holds no stream position and no output.

use std::ops::Range;

use aho_corasick::automaton::{Automaton as Machine, StateID};
use aho_corasick::{Anchored, BuildError, StartKind, dfa, nfa::contiguous};

use super::grams::Grams;
use super::lengths::{self, LengthTable};

/// Above this many pattern bytes the table of a DFA is too large to be worth its speed.
const MAX_DFA_PATTERN_BYTES: usize = 24 << 10;

/// A state of the automaton.
pub(super) type State = StateID;

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

enum Machines {
    Dfa(dfa::DFA),
    Nfa(contiguous::NFA),
}

/// The compiled patterns of a set.
pub(super) struct Automaton {
    machine: Machines,
    start: State,
    lengths: LengthTable,
    grams: Option<Grams>,
}

impl Automaton {
    /// Compiles non-empty patterns; `None` when there are none.
    pub(super) fn new(patterns: &[Vec<u8>]) -> Result<Option<Self>, BuildError> {
        let bytes: usize = patterns.iter().map(Vec::len).sum();
        if bytes == 0 {
            return Ok(None);
        }
        let grams = Grams::new(patterns);
        let (machine, start, lengths);
        if bytes <= MAX_DFA_PATTERN_BYTES {
            let mut builder = dfa::Builder::new();
            let dfa = builder.start_kind(StartKind::Unanchored).prefilter(false).build(patterns)?;
            (start, lengths) = (lengths::start(&dfa), LengthTable::new(&dfa, patterns));
            machine = Machines::Dfa(dfa);
        } else {
            let nfa = contiguous::Builder::new().prefilter(false).build(patterns)?;
            (start, lengths) = (lengths::start(&nfa), LengthTable::new(&nfa, patterns));
            machine = Machines::Nfa(nfa);
        }
        Ok(Some(Self { machine, start, lengths, grams }))
    }

    /// The state before the first byte.
    pub(super) fn start(&self) -> State {
        self.start
    }

    /// Length of the longest suffix that may still become a match.
    pub(super) fn hold(&self, state: State) -> usize {
        self.lengths.get(state).hold as usize
    }

    /// Length of the suffix to mask if the stream ends in this state.
    pub(super) fn close(&self, state: State) -> usize {
        self.lengths.get(state).close as usize
    }

    /// Walks over `input`, whose first byte has position `origin`, and adds the matches to `spans`.
    pub(super) fn scan(
        &self,
        state: State,
        (input, origin): (&[u8], usize),
        spans: &mut Vec<Span>,
    ) -> State {
        let mut scan = Scan { automaton: self, input, origin, spans };
        match &self.machine {
            Machines::Dfa(dfa) => scan.run(dfa, state),
            Machines::Nfa(nfa) => scan.run(nfa, state),
        }
    }
}

struct Scan<'a> {
    automaton: &'a Automaton,
    input: &'a [u8],
    origin: usize,
    spans: &'a mut Vec<Span>,
}

impl Scan<'_> {
    /// Alternates between skipping clean text and walking wherever a form may begin.
    fn run<M: Machine>(&mut self, machine: &M, mut state: State) -> State {
        let Some(grams) = &self.automaton.grams else {
            return self.walk(machine, state, 0..self.input.len());
        };
        let mut at = 0;
        while at < self.input.len() {
            let live = self.automaton.hold(state);
            // A skip looks at windows that begin where the live prefix does; one that began in an
            // earlier chunk, or is longer than a skip, has to be walked to its end.
            if live <= at && live < grams.skip() {
                let clean = grams.skip_clean(self.input, at - live);
                if clean > at {
                    at = clean;
                    state = self.automaton.start;
                }
            }
            let end = (at + grams.stride()).min(self.input.len());
            state = self.walk(machine, state, at..end);
            at = end;
        }
        state
    }

    fn walk<M: Machine>(&mut self, machine: &M, mut state: State, range: Range<usize>) -> State {
        let first_end = self.origin + range.start + 1;
        for (index, &byte) in self.input[range].iter().enumerate() {
            state = machine.next_state(Anchored::No, state, byte);
            if machine.is_special(state) && machine.is_match(state) {
                let end = first_end + index;
                let length = self.automaton.lengths.get(state).longest_match as usize;
                merge(self.spans, Span { start: end - length, end });
            }
        }
        state
    }
}
