//! The streaming masker against an oracle that sees the whole text.

mod colours;
mod fuzz;
mod oracle;
mod random;

use bytes::Bytes;

use super::automaton::{Span, merge};
use super::{MaskSet, Masker};
use oracle::{Patterns, Way, shown};
use random::Random;

/// How many cases: so many, or what this variable says.
fn cases(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn way(number: u64) -> Way {
    if number.is_multiple_of(2) { Way::Push } else { Way::Pass }
}

#[test]
fn any_chunking_equals_the_oracle() {
    const TEXTS_PER_SET: u64 = 10;
    for seed in 0..cases("LONGSHORE_MASKER_CASES", 100_000) / TEXTS_PER_SET {
        let mut random = Random(seed);
        // The longer ones let the skipping of clean text take part.
        let (lengths, letters) = match seed % 4 {
            0 => ((1, 6), 2),
            1 => ((4, 12), 2),
            2 => ((8, 24), 2),
            _ => ((8, 20), 12),
        };
        let patterns = Patterns::new(random.patterns(lengths, letters));
        for number in 0..TEXTS_PER_SET {
            let text = random.text(&patterns.patterns, letters);
            let cuts = random.cuts(text.len());
            patterns.check(&text, &cuts, way(number));
        }
    }
}

/// Long forms, some of them periodic, so that one begins again inside itself.
#[test]
fn long_forms_equal_the_oracle_in_any_chunking() {
    for seed in 0..cases("LONGSHORE_MASKER_CASES", 100_000) / 500 {
        let mut random = Random(seed);
        let mut patterns = random.patterns((900, 1400), 2);
        let period = 1 + random.below(90);
        let periodic: Vec<u8> = random.bytes(period, 2).into_iter().cycle().take(1200).collect();
        patterns.push(periodic);
        patterns.push(random.bytes(70, 2));
        let patterns = Patterns::new(patterns);
        let text = random.text(&patterns.patterns, 2);
        let cuts = random.cuts(text.len());
        patterns.check(&text, &cuts, way(seed));
    }
}

#[test]
fn a_cut_at_any_position_changes_nothing() {
    let patterns = ["ababcdefg", "abcdefgh", "efghijkl", "aab", "bbbb", "cdefghijklmnopqrstuvwxyz"];
    let patterns = Patterns::new(patterns.map(|one| one.as_bytes().to_vec()).to_vec());
    let text =
        b"ababababcdefghijkl aaab bbbbbbb abcdefg cdefghijklmnopqrstuvwxyzz ababcde cdefghij";
    for first in 0..=text.len() {
        for second in first..=text.len() {
            for way in [Way::Push, Way::Pass] {
                patterns.check(text, &[0, first, second, text.len()], way);
            }
        }
    }
    let all: Vec<usize> = (0..=text.len()).collect();
    patterns.check(text, &all, Way::Push);
}

/// What is known when a byte comes counts, also for what is still held back then.
#[test]
fn a_set_that_grows_in_mid_stream_masks_what_comes_and_what_is_held() {
    for seed in 0..cases("LONGSHORE_MASKER_CASES", 100_000) / 50 {
        let mut random = Random(seed);
        let mut all = random.patterns((2, 12), 2);
        let early = Patterns::new(all.clone());
        all.extend(random.patterns((2, 12), 2));
        let grown = Patterns::new(all);
        let (before, after) = (random.text(&early.patterns, 2), random.text(&grown.patterns, 2));
        let mut masker = Masker::new(&early.set);
        let mut out = Vec::new();
        masker.push(&before, &mut out);
        let released = before.len() - masker.held.len();
        masker.switch(&grown.set);
        for chunk in after.chunks(1 + random.below(5)) {
            masker.push(chunk, &mut out);
        }
        masker.finish(&mut out);
        let mut covered = early.occurrences(&before);
        let text = [before, after].concat();
        covered.resize(text.len(), false);
        for (at, later) in covered[released..].iter_mut().zip(grown.covered(&text[released..])) {
            *at |= later;
        }
        let expected = shown(&text, &covered).escape_ascii().to_string();
        let told = format!("seed {seed}, {:?} after {released}", text.escape_ascii().to_string());
        assert_eq!(out.escape_ascii().to_string(), expected, "{told}");
    }
}

#[test]
fn a_set_that_grows_inside_a_long_form_goes_on_masking_it() {
    let long = Random(1).bytes(1200, 12);
    let early = Patterns::new(vec![long.clone()]);
    let grown = Patterns::new(vec![long.clone(), b"another one".to_vec()]);
    for cut in 0..=long.len() {
        let mut masker = Masker::new(&early.set);
        let mut out = Vec::new();
        masker.push(&long[..cut], &mut out);
        masker.switch(&grown.set);
        masker.push(&long[cut..], &mut out);
        masker.push(b".", &mut out);
        masker.finish(&mut out);
        assert_eq!(out.escape_ascii().to_string(), "[MASKED].", "cut at {cut}");
    }
}

#[test]
fn a_prefix_is_held_and_no_more() {
    let set = MaskSet::of_patterns(&[b"hunter2-secret".to_vec()]);
    let mut masker = Masker::new(&set);
    let mut out = Vec::new();
    masker.push(b"Password (no newline): ", &mut out);
    assert_eq!(out, b"Password (no newline): ");
    masker.push(b"hunt", &mut out);
    assert_eq!(masker.held.as_slice(), b"hunt");
    masker.push(b"ing", &mut out);
    assert_eq!(out, b"Password (no newline): hunting");
    assert!(masker.held.is_empty());
}

#[test]
fn a_clean_buffer_is_handed_on_without_a_copy() {
    let set = MaskSet::of_patterns(&[b"hunter2-secret".to_vec()]);
    let mut masker = Masker::new(&set);
    let clean = Bytes::from_static(b"nothing of it in here");
    let mut passed = |input: &Bytes| {
        let mut out = Vec::new();
        masker.pass(input.clone(), |bytes| out.push(bytes));
        out
    };
    assert_eq!(passed(&clean)[0].as_ptr(), clean.as_ptr());
    assert_eq!(passed(&Bytes::from_static(b"hunter2-")), [""]);
    assert_eq!(passed(&Bytes::from_static(b"secret")), ["[MASKED]"]);
    assert_eq!(passed(&clean)[0].as_ptr(), clean.as_ptr());
    assert_eq!(passed(&Bytes::from_static(b"go hunt")), ["go "]);
    // What was held back goes before it.
    let out = passed(&clean);
    assert_eq!(out[0], "hunt");
    assert_eq!(out[1].as_ptr(), clean.as_ptr());
}

#[test]
fn touching_and_overlapping_spans_become_one() {
    let mut spans = Vec::new();
    for (start, end) in [(0, 3), (5, 8), (7, 9), (9, 10), (4, 11), (12, 13), (13, 14)] {
        merge(&mut spans, Span { start, end });
    }
    let expected = [(0, 3), (4, 11), (12, 14)].map(|(start, end)| Span { start, end });
    assert_eq!(spans, expected);
}
