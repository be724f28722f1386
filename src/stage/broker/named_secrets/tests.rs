//! Each way to write a secret, made here by other means than the masker's own.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::*;

/// With a character for each escape.
const VALUE: &str = "s3cr\"t & <w0rd>/it's $5?~=ÿ";

fn finds(value: &str, text: &str) -> Option<String> {
    let options = MaskOptions { reversed: true, coloured: true };
    let other = ("OTHER".to_owned(), Secret::new("another value altogether"));
    finder(vec![other, ("PAGE_SECRET".to_owned(), Secret::new(value))], options)(text)
}

fn percent(plain: impl Fn(u8) -> bool, upper: bool) -> String {
    VALUE.bytes().fold(String::new(), |mut text, byte| {
        match (plain(byte), upper) {
            (true, _) => text.push(char::from(byte)),
            (false, true) => write!(text, "%{byte:02X}").unwrap(),
            (false, false) => write!(text, "%{byte:02x}").unwrap(),
        }
        text
    })
}

fn hex() -> String {
    VALUE.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Name of the class, and the secret in it.
fn forms() -> Vec<(String, String)> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let json = serde_json::to_string(VALUE).unwrap().trim_matches('"').to_owned();
    let xml = VALUE
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;");
    let form = percent(|byte| unreserved(byte) || byte == b' ', true).replace(' ', "+");
    let mut all = vec![
        ("as it is", VALUE.to_owned()),
        ("hex", hex()),
        ("hex in capitals", hex().to_uppercase()),
        ("of a URL", percent(unreserved, true)),
        ("of a URL in small letters", percent(unreserved, false)),
        ("of a form", form),
        ("of JSON", json.clone()),
        ("of JSON with its slashes escaped", json.replace('/', "\\/")),
        ("in single quotes of a shell", VALUE.replace('\'', "'\\''")),
        ("in double quotes of a shell", VALUE.replace('"', "\\\"").replace('$', "\\$")),
        ("of XML", xml),
        ("turned round", VALUE.chars().rev().collect()),
    ];
    for alignment in ["", "a", "ab"] {
        let text = format!("{alignment}{VALUE}");
        all.extend([
            ("base64", STANDARD.encode(&text)),
            ("base64 without its end", STANDARD_NO_PAD.encode(&text)),
            ("base64 for URLs", URL_SAFE.encode(&text)),
            ("base64 for URLs without its end", URL_SAFE_NO_PAD.encode(&text)),
        ]);
    }
    all.into_iter().map(|(name, form)| (name.to_owned(), form)).collect()
}

#[test]
fn a_secret_is_found_in_each_form_and_in_the_middle_of_a_text() {
    let all = forms();
    assert_eq!(all.len(), 24);
    for (class, form) in all {
        assert_eq!(finds(VALUE, &form).as_deref(), Some("PAGE_SECRET"), "{class}");
        let within = format!("https://user:{form}@example.test");
        assert_eq!(finds(VALUE, &within).as_deref(), Some("PAGE_SECRET"), "{class}, within");
    }
    assert_eq!(finds(VALUE, "s3cr and a word that is none of it"), None);
}

#[test]
fn of_a_longer_secret_each_line_is_one_whatever_its_ends() {
    let value = "-----BEGIN KEY-----\nfirst-line-of-it\nsecond-line-of-it\n-----END KEY-----\n";
    for text in [
        value.to_owned(),
        value.replace('\n', "\r\n"),
        value.replace('\n', "\\n"),
        "second-line-of-it".to_owned(),
        STANDARD.encode(value),
    ] {
        assert_eq!(finds(value, &text).as_deref(), Some("PAGE_SECRET"), "{text}");
    }
}

#[test]
fn a_short_secret_is_found_as_it_is_though_no_log_could_mask_it() {
    assert_eq!(finds("xy7\n", "key=xy7").as_deref(), Some("PAGE_SECRET"));
    assert_eq!(finds("xy7", "key=xy6"), None);
    assert_eq!(finds("", "anything"), None);
}
