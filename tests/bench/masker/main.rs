//! The masker's figures, measured in one run and printed as JSON for `script/bench`: ratios are medians
//! over interleaved rounds. It decides nothing; the limits stand in `script/lib/bench/masker.py`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on must fail"
)]

mod per_phrase;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore::secrets::{MaskSet, Masker, Secret};
use per_phrase::PerPhrase;

/// The text's bytes, and the same as a number of megabytes.
const TEXT: usize = 8_000_000;
const TEXT_MB: f64 = 8.0;
/// Chunks of the long line, and all of them in megabytes.
const LINE: usize = (1 << 30) / CHUNK;
const LINE_MB: f64 = 1073.7;
const CHUNK: usize = 64 << 10;
const ROUNDS: usize = 15;

fn main() {
    let text = log();
    let (few, many) = (values(10), values(50));
    let (few_set, many_set) = (set(&few), set(&many));
    let line = long_line(&many_set);
    let memory = peak_memory();
    let prompt = prompt(&many_set);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push([
            timed(|| memchr_pass(&text)),
            timed(|| masker_pass(&few_set, &text)),
            timed(|| masker_pass(&many_set, &text)),
            timed(|| per_phrase_pass(&many, &text)),
        ]);
    }
    let ratio = |of: usize, to: usize| {
        median(
            rounds.iter().map(|round| round[to].as_secs_f64() / round[of].as_secs_f64()).collect(),
        )
    };
    let speed = |of: usize| {
        let seconds = median(rounds.iter().map(|round| round[of].as_secs_f64()).collect());
        TEXT_MB / seconds
    };
    println!(
        "{{\"against_memchr\": {:.3}, \"against_per_phrase\": {:.1}, \"memory_kib\": {memory}, \
         \"prompt_ms\": {:.4}, \"medians_mb_s\": {{\"memchr\": {:.0}, \"10 secrets\": {:.0}, \
         \"50 secrets\": {:.0}, \"50 phrases, one pass each\": {:.0}, \"a line of 1 GiB\": {:.0}}}, \
         \"rounds\": {ROUNDS}}}",
        ratio(1, 0),
        ratio(2, 3),
        prompt.as_secs_f64() * 1e3,
        speed(0),
        speed(1),
        speed(2),
        speed(3),
        LINE_MB / line.as_secs_f64(),
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A build's log; no secret is in it.
fn log() -> Bytes {
    let line = |number: u64| {
        let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        format!(
            "2026-01-01T00:00:00Z INFO step {number}: compiled crate {hash:016x} in 1.2s \
             /usr/lib/x86_64-linux-gnu/libssl.so.3 (sha256 {:016x}{hash:016x})\n",
            hash.rotate_left(17)
        )
    };
    (0..).flat_map(|number| line(number).into_bytes()).take(TEXT).collect()
}

/// Tokens of 32 bytes.
fn values(count: u64) -> Vec<Vec<u8>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |seed: u64| {
        let mut word = seed + 1;
        let letter = |_| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            LETTERS[(word >> 58) as usize]
        };
        (0..32).map(letter).collect()
    };
    (0..count).map(value).collect()
}

fn set(values: &[Vec<u8>]) -> MaskSet {
    let set = MaskSet::new(values.iter().map(|value| Secret::new(value.as_slice())).collect());
    assert!(set.unmaskable().is_empty());
    set
}

fn memchr_pass(text: &Bytes) {
    for chunk in text.chunks(CHUNK) {
        assert!(black_box(memchr::memchr(0, chunk)).is_none());
    }
}

/// As the agent does it: buffers come in, buffers go out.
fn masker_pass(set: &MaskSet, text: &Bytes) {
    let mut masker = Masker::new(set);
    let mut length = 0;
    for start in (0..text.len()).step_by(CHUNK) {
        let chunk = text.slice(start..(start + CHUNK).min(text.len()));
        masker.pass(chunk, |clean| length += black_box(clean).len());
    }
    let mut rest = Vec::new();
    masker.finish(&mut rest);
    assert_eq!(length + rest.len(), text.len());
}

fn per_phrase_pass(values: &[Vec<u8>], text: &Bytes) {
    let mut maskers = PerPhrase::new(values);
    let mut length = 0;
    for chunk in text.chunks(CHUNK) {
        length += black_box(maskers.push(chunk)).len();
    }
    assert_eq!(length + maskers.finish().len(), text.len());
}

/// A gibibyte without a line's end.
fn long_line(set: &MaskSet) -> Duration {
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let mut masker = Masker::new(set);
    timed(|| {
        for _ in 0..LINE {
            masker.pass(chunk.clone(), |clean| drop(black_box(clean)));
        }
    })
}

/// From the moment a prompt comes to the moment all of it has left.
fn prompt(set: &MaskSet) -> Duration {
    let mut masker = Masker::new(set);
    let mut out = Vec::with_capacity(CHUNK);
    let prompt = b"Continue without a backup? [y/N] ";
    let taken = timed(|| masker.push(prompt, &mut out));
    assert_eq!(out, prompt);
    taken
}

/// The most this process had resident, in KiB: both sets compiled, the text, and a long line.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
