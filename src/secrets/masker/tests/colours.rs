//! Text with control sequences in it, against an oracle that takes them out of the whole text first.

use super::super::follow::ANCHOR;
use super::super::forms::MAX_FORM;
use super::super::{MaskOptions, MaskSet, Masker};
use super::oracle::{Patterns, Way, push, shown};
use super::random::Random;
use super::{cases, way};

/// Positions in the whole text of what a terminal shows of it.
fn bare(text: &[u8]) -> Vec<usize> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] != 0x1b {
            kept.push(at);
            at += 1;
            continue;
        }
        at += 1;
        if text.get(at) != Some(&b'[') {
            continue;
        }
        at += 1;
        while text.get(at).is_some_and(|byte| (0x20..=0x3f).contains(byte)) {
            at += 1;
        }
        at += usize::from(text.get(at).is_some_and(|byte| (0x40..=0x7e).contains(byte)));
    }
    kept
}

/// What the text without its sequences has covered, told of the whole text; and the live prefix there.
struct Seen<'a> {
    patterns: &'a Patterns,
    positions: Vec<usize>,
    bare: Vec<u8>,
}

impl<'a> Seen<'a> {
    fn of(patterns: &'a Patterns, text: &[u8]) -> Self {
        let positions = bare(text);
        let bare = positions.iter().map(|at| text[*at]).collect();
        Self { patterns, positions, bare }
    }

    /// First and last byte in the whole text.
    fn cover(&self, (start, end): (usize, usize), covered: &mut [bool]) {
        if start < end {
            covered[self.positions[start]..=self.positions[end - 1]].fill(true);
        }
    }

    fn add(&self, covered: &mut [bool]) {
        for pattern in &self.patterns.patterns {
            let searched = if pattern.len() > MAX_FORM { &pattern[..ANCHOR] } else { pattern };
            for (start, window) in self.bare.windows(searched.len()).enumerate() {
                if window != searched {
                    continue;
                }
                self.cover((start, start + searched.len()), covered);
                let pairs = pattern.iter().zip(&self.bare[start..]);
                let length = pairs.take_while(|(form, byte)| form == byte).count();
                // The rest of a long form byte by byte: sequences in it leave.
                (start + searched.len()..start + length)
                    .for_each(|at| covered[self.positions[at]] = true);
            }
            for length in 1..searched.len() {
                let qualifies = length >= 8 || length * 2 >= searched.len();
                if qualifies && self.bare.ends_with(&searched[..length]) {
                    self.cover((self.bare.len() - length, self.bare.len()), covered);
                }
            }
        }
    }

    /// Where the live prefix begins in the whole text.
    fn live(&self, text: &[u8]) -> usize {
        match self.patterns.live(&self.bare) {
            0 => 0,
            live => text.len() - self.positions[self.bare.len() - live],
        }
    }
}

fn coloured(set: &[Vec<u8>]) -> MaskSet {
    MaskSet::of_patterns_with(set, MaskOptions { coloured: true, ..MaskOptions::default() })
}

/// Sequences, some of them unfinished or none at all, in a text.
fn colour(random: &mut Random, text: &[u8]) -> Vec<u8> {
    const SEQUENCES: [&[u8]; 9] = [
        b"\x1b[0m",
        b"\x1b[1;31m",
        b"\x1b[m\x1b[K",
        b"\x1b[?25 q",
        b"\x1b[1",
        b"\x1b[",
        b"\x1b",
        b"\x1b[3\n",
        b"\x1b]",
    ];
    let mut out = Vec::new();
    let often = 2 + random.below(12);
    for byte in text {
        while random.below(often) == 0 {
            out.extend_from_slice(SEQUENCES[random.below(SEQUENCES.len())]);
        }
        out.push(*byte);
    }
    out
}

fn check(patterns: &Patterns, text: &[u8], cuts: &[usize], way: Way) {
    let set = coloured(&patterns.patterns);
    let mut masker = Masker::new(&set);
    let mut out = Vec::new();
    let told = || {
        let all: Vec<_> =
            patterns.patterns.iter().map(|one| one.escape_ascii().to_string()).collect();
        format!("{all:?} in {:?} cut {cuts:?} {way:?}", text.escape_ascii().to_string())
    };
    for cut in cuts.windows(2) {
        push(&mut masker, &text[cut[0]..cut[1]], way, &mut out);
        let so_far = &text[..cut[1]];
        let live = patterns.live(so_far).max(Seen::of(patterns, so_far).live(so_far));
        assert_eq!(masker.held.len(), live, "held: {}", told());
    }
    masker.finish(&mut out);
    let mut covered = patterns.covered(text);
    Seen::of(patterns, text).add(&mut covered);
    let expected = shown(text, &covered).escape_ascii().to_string();
    assert_eq!(out.escape_ascii().to_string(), expected, "{}", told());
}

#[test]
fn any_chunking_of_coloured_text_equals_the_oracle() {
    for seed in 0..cases("LONGSHORE_MASKER_CASES", 100_000) / 10 {
        let mut random = Random(seed);
        let (lengths, letters) = if seed % 2 == 0 { ((1, 8), 2) } else { ((6, 24), 3) };
        let mut patterns = random.patterns(lengths, letters);
        if seed % 5 == 0 {
            // One that looks like the end of a sequence.
            patterns.push([b"31m".as_slice(), &random.bytes(4, letters)].concat());
        }
        let patterns = Patterns::new(patterns);
        let text = random.text(&patterns.patterns, letters);
        let text = colour(&mut random, &text);
        let cuts = random.cuts(text.len());
        check(&patterns, &text, &cuts, way(seed / 2));
    }
}

#[test]
fn long_forms_in_coloured_text_equal_the_oracle() {
    for seed in 0..cases("LONGSHORE_MASKER_CASES", 100_000) / 2000 {
        let mut random = Random(seed);
        let patterns = Patterns::new(random.patterns((1000, 1300), 2));
        let text = random.text(&patterns.patterns, 2);
        let text = colour(&mut random, &text);
        let cuts = random.cuts(text.len());
        check(&patterns, &text, &cuts, way(seed));
    }
}

/// What the set without the option masks is masked with it too, and a set may grow in a coloured text.
#[test]
fn a_set_that_grows_in_coloured_text_masks_what_comes_and_what_is_held() {
    for seed in 0..cases("LONGSHORE_MASKER_CASES", 100_000) / 50 {
        let mut random = Random(seed);
        let early = random.patterns((4, 12), 2);
        let late = random.bytes(10, 2);
        let all = [early.clone(), vec![late.clone()]].concat();
        let before = random.text(&early, 2);
        let before = colour(&mut random, &before);
        let mut masker = Masker::new(&coloured(&early));
        let mut out = Vec::new();
        masker.push(&before, &mut out);
        masker.switch(&coloured(&all));
        // Nothing of the new one can have begun before it.
        let after = [b"|".as_slice(), &colour(&mut random, &late), b"|"].concat();
        for chunk in after.chunks(1 + random.below(5)) {
            masker.push(chunk, &mut out);
        }
        masker.finish(&mut out);
        let seen: Vec<u8> = bare(&out).iter().map(|at| out[*at]).collect();
        let found = seen.windows(late.len()).any(|window| window == late);
        assert!(!found, "seed {seed}: {:?}", out.escape_ascii().to_string());
    }
}
