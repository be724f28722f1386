//! From secrets to the byte strings that are masked: which forms each value gets, and how many bytes
//! all of them may have. Decides; does not search.

use std::collections::HashSet;

use super::{MAX_PATTERN_BYTES, MIN_MASKABLE, Unmaskable, encoding};
use crate::secrets::Secret;

/// Encoded forms and single lines shorter than this match too much innocent text.
const MIN_FORM: usize = 8;
/// Longer forms are cut into pieces, so that no more than a piece is ever held back.
const MAX_FORM: usize = 4 << 10;
const PIECE: usize = 64;
/// Values above this get fewer forms, and above the next one only their lines.
const LARGE_VALUE: usize = 4 << 10;
const HUGE_VALUE: usize = 64 << 10;
/// Columns at which tools wrap base64: PEM and MIME.
const BASE64_COLUMNS: [usize; 2] = [64, 76];

/// The patterns of all values, and the values that got none.
pub(super) fn of_all(values: &[Secret]) -> (Vec<Vec<u8>>, Vec<(usize, Unmaskable)>) {
    let mut seen = HashSet::new();
    let mut patterns = Vec::new();
    let mut unmaskable = Vec::new();
    let mut room = MAX_PATTERN_BYTES;
    for (index, secret) in values.iter().enumerate() {
        let value = secret.expose().trim_ascii();
        if value.len() < MIN_MASKABLE {
            unmaskable.push((index, Unmaskable::TooShort));
            continue;
        }
        let mut forms = of(value);
        forms.retain(|form| !seen.contains(form));
        let bytes: usize = forms.iter().map(Vec::len).sum();
        if bytes > room {
            unmaskable.push((index, Unmaskable::TooLarge));
            continue;
        }
        room -= bytes;
        patterns.extend(forms.iter().cloned());
        seen.extend(forms);
    }
    (patterns, unmaskable)
}

/// The forms of one value, whose surrounding white space is gone: that keeps the log's lines apart and
/// is no secret.
fn of(value: &[u8]) -> HashSet<Vec<u8>> {
    let mut forms = Forms::default();
    for line in lines(value) {
        forms.add_text(line);
    }
    if value.len() <= HUGE_VALUE {
        for variant in line_ends(value) {
            forms.add_text(&variant);
            forms.add_base64(&variant);
        }
        if value.len() <= LARGE_VALUE {
            let hex = encoding::hex(value);
            forms.add(hex.to_ascii_uppercase(), MIN_FORM);
            forms.add(hex, MIN_FORM);
        }
    }
    forms.0
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

/// The lines of a value that has more than one, without what surrounds them.
fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let several = value.contains(&b'\n') || value.contains(&b'\r');
    let lines = value.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    lines.filter(move |line| several && line.len() >= MIN_FORM)
}

#[derive(Default)]
struct Forms(HashSet<Vec<u8>>);

impl Forms {
    /// The value as it is and in every textual escape. A large one is not escaped: its lines are.
    fn add_text(&mut self, value: &[u8]) {
        self.add(value.to_vec(), MIN_MASKABLE);
        if value.len() > LARGE_VALUE {
            return;
        }
        let escapes = [encoding::percent, encoding::json, encoding::shell, encoding::xml];
        for form in escapes.into_iter().flat_map(|escape| escape(value)) {
            self.add(form, MIN_MASKABLE);
        }
    }

    fn add_base64(&mut self, value: &[u8]) {
        let cores = encoding::base64_cores(value);
        if let [aligned, ..] = &cores
            && aligned.len() > BASE64_COLUMNS[0]
        {
            for line in BASE64_COLUMNS.into_iter().flat_map(|columns| aligned.chunks(columns)) {
                self.add(line.to_vec(), MIN_FORM);
            }
        }
        for core in cores {
            self.add(encoding::url_alphabet(&core), MIN_FORM);
            self.add(core, MIN_FORM);
        }
    }

    /// Adds a form, in pieces where it is long. The pieces touch, and so become one mask.
    fn add(&mut self, form: Vec<u8>, shortest: usize) {
        if form.len() < shortest {
            return;
        }
        if form.len() <= MAX_FORM {
            self.0.insert(form);
            return;
        }
        let last = form.len() - PIECE;
        for start in (0..last).step_by(PIECE).chain([last]) {
            self.0.insert(form[start..start + PIECE].to_vec());
        }
    }
}
