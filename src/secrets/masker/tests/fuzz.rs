//! A fuzz target: bytes say which patterns, which text, and where it is cut; whatever they say, the
//! stream equals the oracle. Driven by a loop that mutates inputs and keeps those that do something new.

use std::collections::HashSet;

use super::oracle::{Patterns, Way, push};
use super::random::Random;
use super::{Masker, cases};

/// Reads an input: patterns, each behind its length, up to a zero; then the number of cuts, the cuts
/// and the text. Every input means something.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(*first)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

/// The target proper; answers what kind of thing the input made the masker do.
fn target(data: &[u8]) -> (usize, usize, usize) {
    let mut input = Input(data);
    let mut patterns = Vec::new();
    while patterns.len() < 6 {
        let length = input.byte() % 40;
        let pattern = input.bytes(length);
        if pattern.is_empty() {
            break;
        }
        patterns.push(pattern);
    }
    let way = if input.byte() % 2 == 0 { Way::Push } else { Way::Pass };
    let count = input.byte() % 8;
    let cuts = input.bytes(count);
    let text = input.0;
    let mut cuts: Vec<usize> =
        cuts.into_iter().map(|cut| usize::from(cut) % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    let patterns = Patterns::new(patterns);
    patterns.check(text, &cuts, way);
    let mut masker = Masker::new(&patterns.set);
    let mut out = Vec::new();
    push(&mut masker, text, way, &mut out);
    let masks = out.windows(8).filter(|window| window == b"[MASKED]").count();
    (patterns.patterns.len(), masks.min(20), masker.held.len().min(20))
}

/// One step from an input to another.
fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        match random.below(6) {
            0 => data.insert(at, u8::try_from(random.below(256)).unwrap()),
            1 => data.truncate(at),
            2 => data.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            3 => {
                let end = (at + random.below(40)).min(data.len());
                let copy = data[at..end].to_vec();
                let target = random.below(data.len() + 1);
                data.splice(target..target, copy);
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                data.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            _ => drop(data.drain(at..(at + random.below(9)).min(data.len()))),
        }
    }
    data.truncate(400);
    data
}

#[test]
fn whatever_the_bytes_say_the_stream_equals_the_oracle() {
    let mut random = Random(cases("LONGSHORE_FUZZ_SEED", 1));
    let mut corpus = vec![
        b"\x09ababcdefg\x00\x00\x01\x04ababcdefg".to_vec(),
        b"\x08abcdefgh\x08efghijkl\x00\x01\x02\x03\x07xabcdefghijklx".to_vec(),
    ];
    let mut seen = HashSet::new();
    for _ in 0..cases("LONGSHORE_FUZZ_CASES", 2_000) {
        let data = mutate(&mut random, &corpus);
        if seen.insert(target(&data)) {
            corpus.push(data);
        }
    }
    assert!(corpus.len() > 30, "the inputs do not vary: {} kept", corpus.len());
}
