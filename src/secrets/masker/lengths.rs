//! What the automaton's library does not tell about a state: how many of the last bytes may still
//! become a match, and how long the longest match is. Computed once; knows no text.

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};

use super::forms::Form;

/// At the end of a stream a live prefix of this length is masked whatever its form's length is.
const CLOSE_MASKS_FROM: u16 = 8;

/// Lengths in bytes (a pattern has at most [`super::forms::MAX_FORM`]), all counted back from the position at which a state is reached.
#[derive(Clone, Copy, Default)]
pub(super) struct Lengths {
    /// The longest suffix that is a proper prefix of a pattern.
    pub(super) hold: u16,
    /// The longest such suffix that is masked when the stream ends here.
    pub(super) close: u16,
    /// The longest pattern that ends here.
    pub(super) longest_match: u16,
}

/// [`Lengths`] by state.
pub(super) struct LengthTable {
    index: Index,
    lengths: Vec<Lengths>,
}

impl LengthTable {
    /// Computes the lengths of each state of `machine`, which was made from `patterns`.
    pub(super) fn new<A: Automaton>(machine: &A, patterns: &[Form]) -> Self {
        let index = Index::new(visited(machine, patterns));
        let nodes = nodes(machine, patterns, &index);
        let mut by_depth: Vec<u32> = (0..).take(nodes.len()).collect();
        by_depth.sort_unstable_by_key(|&place| nodes[place as usize].depth);
        let mut lengths = vec![Lengths::default(); nodes.len()];
        // Shorter prefixes first, so that a node's fail node is done before it.
        for place in by_depth {
            let place = place as usize;
            let node = nodes[place];
            if node.depth > 0 {
                lengths[place] = node.lengths(lengths[node.fail as usize]);
            }
        }
        Self { index, lengths }
    }

    pub(super) fn get(&self, state: StateID) -> Lengths {
        self.lengths.get(self.index.place(state)).copied().unwrap_or_default()
    }
}

/// A node of the trie of all patterns; each state of the automaton is one.
#[derive(Clone, Copy, Default)]
struct Node {
    depth: u16,
    /// Place of the longest proper suffix that is a node.
    fail: u32,
    /// Length of the shortest pattern that goes on from here; 0 if none does.
    shortest: u16,
    is_pattern: bool,
}

impl Node {
    fn lengths(self, of_fail: Lengths) -> Lengths {
        let mut lengths = of_fail;
        if self.is_pattern {
            lengths.longest_match = self.depth;
        }
        if self.shortest > 0 {
            lengths.hold = self.depth;
            if self.depth >= CLOSE_MASKS_FROM || self.depth * 2 >= self.shortest {
                lengths.close = self.depth;
            }
        }
        lengths
    }
}

/// The states of all prefixes of all patterns: after the first `n` bytes of a pattern the state is the
/// node of just those bytes, as there is no longer suffix.
fn visited<A: Automaton>(machine: &A, patterns: &[Form]) -> Vec<StateID> {
    let mut states = vec![start(machine)];
    for pattern in patterns {
        let mut state = states[0];
        for &byte in pattern.as_ref() {
            state = machine.next_state(Anchored::No, state, byte);
            states.push(state);
        }
    }
    states.sort_unstable();
    states.dedup();
    states
}

/// The trie, found again by walking along each pattern; a second walk, one byte shorter at the front,
/// is always in the fail node of the first.
fn nodes<A: Automaton>(machine: &A, patterns: &[Form], index: &Index) -> Vec<Node> {
    let start = start(machine);
    let mut nodes = vec![Node::default(); index.places()];
    for pattern in patterns {
        let pattern = pattern.as_ref();
        let length = u16::try_from(pattern.len()).unwrap_or(u16::MAX);
        let (mut state, mut fail) = (start, start);
        for (depth, &byte) in (1..=length).zip(pattern) {
            state = machine.next_state(Anchored::No, state, byte);
            if depth > 1 {
                fail = machine.next_state(Anchored::No, fail, byte);
            }
            let node = &mut nodes[index.place(state)];
            node.depth = depth;
            node.fail = u32::try_from(index.place(fail)).unwrap_or(0);
            if depth == length {
                node.is_pattern = true;
            } else if node.shortest == 0 || length < node.shortest {
                node.shortest = length;
            }
        }
    }
    nodes
}

/// The state before the first byte. An unanchored start always exists here.
pub(super) fn start<A: Automaton>(machine: &A) -> StateID {
    machine.start_state(Anchored::No).unwrap_or_default()
}

/// From a state to its place in a table.
enum Index {
    /// State ids are evenly spaced, as those of a DFA are.
    Spaced { shift: u32, places: usize },
    /// They are not: their places are their ranks.
    Sorted(Vec<StateID>),
}

impl Index {
    /// From the sorted states.
    fn new(states: Vec<StateID>) -> Self {
        let gaps = states.windows(2).map(|pair| pair[1].as_usize() - pair[0].as_usize());
        let shift = gaps.min().unwrap_or(1).max(1).ilog2();
        let places = states.last().map_or(0, |last| last.as_usize() >> shift) + 1;
        if places <= states.len() * 2 + 8 {
            Self::Spaced { shift, places }
        } else {
            Self::Sorted(states)
        }
    }

    fn places(&self) -> usize {
        match self {
            Self::Spaced { places, .. } => *places,
            Self::Sorted(states) => states.len(),
        }
    }

    fn place(&self, state: StateID) -> usize {
        match self {
            Self::Spaced { shift, .. } => state.as_usize() >> shift,
            Self::Sorted(states) => states.binary_search(&state).unwrap_or(usize::MAX),
        }
    }
}
