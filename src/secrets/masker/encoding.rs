//! How programs write the same bytes differently: base64, hex, percent, JSON, shell, XML.
//! Each function gives the forms that can be told apart; none decides whether one is worth a mask.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// Base64 of `value` behind 0, 1 and 2 other bytes, cut to the characters that depend on `value` alone,
/// so that it is found inside a longer encoded text as well.
pub(super) fn base64_cores(value: &[u8]) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|before| {
        let mut padded = vec![0; before];
        padded.extend_from_slice(value);
        let certain = padded.len() * 8 / 6;
        let mut encoded = BASE64_STANDARD_NO_PAD.encode(&padded).into_bytes();
        encoded.truncate(certain);
        // One byte before reaches into the second character, two into the third.
        let uncertain = if before == 0 { 0 } else { before + 1 };
        encoded.split_off(uncertain.min(encoded.len()))
    })
}

/// The same in the URL alphabet.
pub(super) fn url_alphabet(base64: &[u8]) -> Vec<u8> {
    base64
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect()
}

/// Lower-case hexadecimal.
pub(super) fn hex(value: &[u8]) -> Vec<u8> {
    let mut text = String::with_capacity(value.len() * 2);
    for byte in value {
        let _ = write!(text, "{byte:02x}");
    }
    text.into_bytes()
}

/// Percent-encoding as the common libraries do it: they differ in what they leave alone, in the case of
/// the digits, and in writing a space as `+`.
pub(super) fn percent(value: &[u8]) -> Vec<Vec<u8>> {
    // RFC 3986; JavaScript's encodeURIComponent; Python's quote; HTML forms (with `+` for a space).
    let kept: [&[u8]; 5] = [b"-_.~", b"-_.!~*'()", b"-_.~/", b"*-._+", b"-_.~+"];
    let mut forms = Vec::new();
    for kept in kept {
        for upper in [true, false] {
            forms.push(percent_keeping(value, kept, upper));
        }
    }
    forms
}

fn percent_keeping(value: &[u8], kept: &[u8], upper: bool) -> Vec<u8> {
    // `+` stands in the list of a set that writes a space so; a real plus is then encoded.
    let plus_is_space = kept.contains(&b'+');
    let mut out = String::with_capacity(value.len() * 3);
    for &byte in value {
        let plain = byte.is_ascii_alphanumeric() || (byte != b'+' && kept.contains(&byte));
        if plain {
            out.push(char::from(byte));
        } else if byte == b' ' && plus_is_space {
            out.push('+');
        } else if upper {
            let _ = write!(out, "%{byte:02X}");
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out.into_bytes()
}

/// How a JSON library writes a string.
#[derive(Clone, Copy)]
struct JsonStyle {
    /// `/` as `\/` (PHP).
    slash: bool,
    /// `<`, `>` and `&` as `\u00XX` (Go).
    html: bool,
    /// Beyond ASCII as `\uXXXX` (Python), in which case of digits.
    ascii: Option<Case>,
}

#[derive(Clone, Copy)]
enum Case {
    Lower,
    Upper,
}

/// The inside of a JSON string, in the styles of the common libraries.
pub(super) fn json(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for ascii in [None, Some(Case::Lower), Some(Case::Upper)] {
        for (slash, html) in [(false, false), (true, false), (false, true)] {
            forms.push(json_in(value, JsonStyle { slash, html, ascii }));
        }
    }
    forms
}

fn json_in(value: &[u8], style: JsonStyle) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 8);
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            json_char(character, style, &mut out);
        }
        out.extend_from_slice(chunk.invalid());
    }
    out
}

fn json_char(character: char, style: JsonStyle, out: &mut Vec<u8>) {
    let short = match character {
        '"' => Some('"'),
        '\\' => Some('\\'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '/' if style.slash => Some('/'),
        _ => None,
    };
    let control = character < ' ' || (style.html && matches!(character, '<' | '>' | '&'));
    if let Some(short) = short {
        out.extend([b'\\', short as u8]);
    } else if control || (style.ascii.is_some() && !character.is_ascii()) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let digits = match style.ascii {
                Some(Case::Upper) => format!("\\u{unit:04X}"),
                _ => format!("\\u{unit:04x}"),
            };
            out.extend_from_slice(digits.as_bytes());
        }
    } else {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// What shells print with `set -x`, `printf %q` and in quotes.
pub(super) fn shell(value: &[u8]) -> Vec<Vec<u8>> {
    vec![
        // inside '…': bash, then dash
        replace(value, |byte| (byte == b'\'').then_some(b"'\\''")),
        replace(value, |byte| (byte == b'\'').then_some(b"'\"'\"'")),
        // inside "…", behind a backslash where shells need one, printf %q
        backslashed(value, |byte| b"\\\"$`".contains(&byte)),
        backslashed(value, is_special_in_shells),
        printf_q(value),
        ansi_c(value, true),
        ansi_c(value, false),
        // a backslash doubled and nothing else, as in many debug outputs
        backslashed(value, |byte| byte == b'\\'),
    ]
}

fn is_special_in_shells(byte: u8) -> bool {
    byte.is_ascii_punctuation() && !b"%+-./:=@_".contains(&byte) || byte == b' '
}

/// bash's `printf %q`, which leaves a tilde alone but at the beginning and after `:` and `=`.
fn printf_q(value: &[u8]) -> Vec<u8> {
    let mut before = b'=';
    backslashed(value, |byte| {
        let is_expanded = matches!(std::mem::replace(&mut before, byte), b':' | b'=');
        is_special_in_shells(byte) && (byte != b'~' || is_expanded)
    })
}

/// Inside bash's `$'…'`; what is not ASCII is octal there unless the locale can show it.
fn ansi_c(value: &[u8], keep_high: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 8);
    for &byte in value {
        let short = match byte {
            b'\n' => Some(b'n'),
            b'\r' => Some(b'r'),
            b'\t' => Some(b't'),
            0x07 => Some(b'a'),
            0x08 => Some(b'b'),
            0x0b => Some(b'v'),
            0x0c => Some(b'f'),
            0x1b => Some(b'E'),
            b'\'' | b'\\' => Some(byte),
            _ => None,
        };
        if let Some(short) = short {
            out.extend([b'\\', short]);
        } else if byte.is_ascii_control() || !(keep_high || byte.is_ascii()) {
            out.extend_from_slice(format!("\\{byte:03o}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

/// XML and HTML entities, as the common libraries choose them.
pub(super) fn xml(value: &[u8]) -> Vec<Vec<u8>> {
    let quotes: [(&[u8], &[u8]); 6] = [
        (b"\"", b"'"),
        (b"&quot;", b"'"),
        (b"&quot;", b"&#39;"),
        (b"&quot;", b"&#x27;"),
        (b"&quot;", b"&apos;"),
        (b"&#34;", b"&#39;"),
    ];
    let form = |(double, single): (&'static [u8], &'static [u8])| {
        replace(value, |byte| match byte {
            b'&' => Some(b"&amp;".as_slice()),
            b'<' => Some(b"&lt;"),
            b'>' => Some(b"&gt;"),
            b'"' => Some(double),
            b'\'' => Some(single),
            _ => None,
        })
    };
    quotes.map(form).into()
}

fn backslashed(value: &[u8], mut special: impl FnMut(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 8);
    for &byte in value {
        if special(byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

fn replace<R: AsRef<[u8]>>(value: &[u8], by: impl Fn(u8) -> Option<R>) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 8);
    for &byte in value {
        match by(byte) {
            Some(text) => out.extend_from_slice(text.as_ref()),
            None => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests;
