//! From secrets to the byte strings that are masked: which forms each value gets, and how many bytes
//! all of them may have. Decides; does not search.

use std::collections::BTreeSet;

use zeroize::ZeroizeOnDrop;

use super::follow::ANCHOR;
use super::{MAX_INLINE_VALUE, MAX_PATTERN_BYTES, MIN_MASKABLE, MaskOptions, Unmaskable, encoding};
use crate::secrets::Secret;

/// Encoded forms and single lines shorter than this match too much innocent text.
const MIN_FORM: usize = 8;
/// Longer forms are patterns with their first [`ANCHOR`] bytes only, so that no more than this is ever
/// held back.
pub(super) const MAX_FORM: usize = 1 << 10;
/// Upper limit of the bytes of all longer forms of a set.
const MAX_LONG_BYTES: usize = 16 << 20;
/// Values above this are not escaped; above [`MAX_INLINE_VALUE`] only their lines are masked.
const LARGE_VALUE: usize = 16 << 10;
/// Columns at which tools wrap base64: PEM and MIME.
const BASE64_COLUMNS: [usize; 2] = [64, 76];

/// One way to write a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, ZeroizeOnDrop)]
pub(super) struct Form(Vec<u8>);

impl AsRef<[u8]> for Form {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The forms of a value or of a whole set.
#[derive(Default)]
pub(super) struct Forms {
    /// What is to be found; the first bytes of the long forms are among them.
    pub(super) patterns: BTreeSet<Form>,
    /// Forms that are longer than a pattern may be.
    pub(super) long: BTreeSet<Form>,
}

/// The forms of all values, and the values that got none.
pub(super) fn of_all(values: &[Secret], options: MaskOptions) -> (Forms, Vec<(usize, Unmaskable)>) {
    within(values, options, (MAX_PATTERN_BYTES, MAX_LONG_BYTES))
}

/// The same with room for so many bytes of patterns, and of long forms.
fn within(
    values: &[Secret],
    options: MaskOptions,
    (mut room, mut long_room): (usize, usize),
) -> (Forms, Vec<(usize, Unmaskable)>) {
    let mut all = Forms::default();
    let mut unmaskable = Vec::new();
    for (index, secret) in values.iter().enumerate() {
        let value = secret.expose().trim_ascii();
        let mut forms = of(value);
        if options.reversed {
            forms.add_reversed(value);
        }
        if value.len() < MIN_MASKABLE || forms.patterns.is_empty() {
            unmaskable.push((index, Unmaskable::TooShort));
            continue;
        }
        forms.patterns.retain(|form| !all.patterns.contains(form));
        forms.long.retain(|form| !all.long.contains(form));
        let (bytes, long_bytes) = (bytes(&forms.patterns), bytes(&forms.long));
        if bytes > room || long_bytes > long_room {
            unmaskable.push((index, Unmaskable::TooLarge));
            continue;
        }
        room -= bytes;
        long_room -= long_bytes;
        all.patterns.append(&mut forms.patterns);
        all.long.append(&mut forms.long);
    }
    (all, unmaskable)
}

fn bytes(forms: &BTreeSet<Form>) -> usize {
    forms.iter().map(|form| form.0.len()).sum()
}

/// The forms of one value, whose surrounding white space is gone: that keeps the log's lines apart and
/// is no secret.
fn of(value: &[u8]) -> Forms {
    let mut forms = Forms::default();
    let is_inline = value.len() <= MAX_INLINE_VALUE;
    let is_small = value.len() <= LARGE_VALUE;
    for line in lines(value) {
        forms.add_text(line, is_small);
    }
    if !is_inline {
        return forms;
    }
    for variant in line_ends(value) {
        forms.add_text(&variant, is_small);
        if is_small {
            forms.add_base64(&variant);
        }
    }
    forms.add_base64(value);
    if is_small {
        let hex = encoding::hex(value);
        forms.add(hex.to_ascii_uppercase(), MIN_FORM);
        forms.add(hex, MIN_FORM);
    }
    forms
}

/// The value with the line ends it has, with LF only and with CRLF only.
fn line_ends(value: &[u8]) -> Vec<Vec<u8>> {
    let lf: Vec<u8> = value
        .iter()
        .enumerate()
        .filter(|&(at, &byte)| !(byte == b'\r' && value.get(at + 1) == Some(&b'\n')))
        .map(|(_, byte)| *byte)
        .collect();
    if !lf.contains(&b'\n') {
        return vec![value.to_vec()];
    }
    let crlf =
        lf.iter().flat_map(|byte| if *byte == b'\n' { b"\r\n".to_vec() } else { vec![*byte] });
    vec![crlf.collect(), lf, value.to_vec()]
}

/// The lines of a value, without what surrounds them, where they are long enough to be told from others.
fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = value.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    lines.filter(|line| line.len() >= MIN_FORM)
}

impl Forms {
    /// The value as it is and, where asked for, in every textual escape.
    fn add_text(&mut self, value: &[u8], in_all_escapes: bool) {
        self.add(value.to_vec(), MIN_MASKABLE);
        if !in_all_escapes {
            return;
        }
        let escapes = [encoding::percent, encoding::json, encoding::shell, encoding::xml];
        for form in escapes.into_iter().flat_map(|escape| escape(value)) {
            self.add(form, MIN_MASKABLE);
        }
    }

    /// The value and its lines as `rev` and the string functions of languages turn them round: by bytes,
    /// and, where it is text, by characters.
    fn add_reversed(&mut self, value: &[u8]) {
        let whole = (value.len() <= MAX_INLINE_VALUE).then_some(value);
        for text in lines(value).chain(whole) {
            self.add(text.iter().rev().copied().collect(), MIN_FORM);
            if let Ok(text) = std::str::from_utf8(text) {
                self.add(text.chars().rev().collect::<String>().into_bytes(), MIN_FORM);
            }
        }
    }

    fn add_base64(&mut self, value: &[u8]) {
        let cores = encoding::base64_cores(value);
        let [aligned, ..] = &cores;
        for line in BASE64_COLUMNS.into_iter().flat_map(|columns| aligned.chunks(columns)) {
            self.add(line.to_vec(), MIN_FORM);
        }
        for core in cores {
            self.add(encoding::url_alphabet(&core), MIN_FORM);
            self.add(core, MIN_FORM);
        }
    }

    pub(super) fn add(&mut self, form: Vec<u8>, shortest: usize) {
        if form.len() < shortest {
            return;
        }
        if form.len() > MAX_FORM {
            self.patterns.insert(Form(form[..ANCHOR].to_vec()));
            self.long.insert(Form(form));
        } else {
            self.patterns.insert(Form(form));
        }
    }
}

#[cfg(test)]
mod tests;
