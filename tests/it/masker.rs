//! The masker as its users see it: secrets in, log bytes through, nothing of a secret out.

use longshore::secrets::masker::Unmaskable;
use longshore::secrets::{MaskOptions, MaskSet, Masker, Secret};

fn set(values: &[&str]) -> MaskSet {
    MaskSet::new(values.iter().map(|value| Secret::new(*value)).collect())
}

fn masked(values: &[&str], text: &str) -> String {
    String::from_utf8_lossy(&set(values).mask(text.as_bytes())).into_owned()
}

/// Pushes the chunks one by one.
fn chunked<'a>(values: &[&str], chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut masker = Masker::new(&set(values));
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out);
    }
    masker.finish(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// GitLab's masker restarts at the wrong border after a mismatch and prints this one in clear.
#[test]
fn self_overlapping_secret_in_two_writes() {
    let chunks: [&[u8]; 2] = [b"abab", b"abcdefg"];
    assert_eq!(chunked(&["ababcdefg"], chunks), "ab[MASKED]");
}

#[test]
fn self_overlapping_secret_byte_by_byte() {
    assert_eq!(chunked(&["ababcdefg"], b"abababcdefg\n".chunks(1)), "ab[MASKED]\n");
    assert_eq!(chunked(&["ababcdefg"], b"ababcdefg\n".chunks(1)), "[MASKED]\n");
}

/// GitLab's masker prints the tail of the first of two overlapping secrets.
#[test]
fn overlapping_secrets_are_one_mask() {
    let secrets = ["abcdefgh", "efghijkl"];
    assert_eq!(masked(&secrets, ">abcdefghijkl<"), ">[MASKED]<");
    assert_eq!(chunked(&secrets, b">abcdefghijkl<".chunks(1)), ">[MASKED]<");
}

#[test]
fn a_prompt_without_a_newline_leaves_at_once() {
    let mut masker = Masker::new(&set(&["correct horse battery"]));
    let mut out = Vec::new();
    masker.push(b"Continue? [y/N] ", &mut out);
    assert_eq!(out, b"Continue? [y/N] ");
}

#[test]
fn nothing_to_mask_copies() {
    let text: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert_eq!(set(&[]).mask(&text), text);
    assert_eq!(set(&["not in there at all"]).mask(&text), text);
}

#[test]
fn bytes_that_are_no_text_are_masked_too() {
    let secret = [0, 0xff, 0xfe, b'\n', 0x80, 7, 0, 9, 200];
    let set = MaskSet::new(vec![Secret::new(secret)]);
    let text = [b"\xff\0".as_slice(), &secret, b"\0\xff"].concat();
    assert_eq!(set.mask(&text), b"\xff\0[MASKED]\0\xff");
}

/// At the end of a stream the beginning of a secret may be all that was written of it.
#[test]
fn a_beginning_cut_off_at_the_end() {
    let secret = ["0123456789abcdefghijklmnopqrstuv"];
    assert_eq!(masked(&secret, "say 0123456"), "say 0123456");
    assert_eq!(masked(&secret, "say 01234567"), "say [MASKED]");
    assert_eq!(masked(&["abcdef"], "say abc"), "say [MASKED]");
    assert_eq!(masked(&["abcdef"], "say ab"), "say ab");
    assert_eq!(masked(&secret, "say 01234567 and on"), "say 01234567 and on");
}

/// What jobs do to a value before they print it, made by hand with other tools than ours.
#[test]
fn every_form_of_a_secret_is_masked() {
    let secret = "pa ss\"w'ord/<ü>&$1\\x";
    assert_eq!(masked(&[secret], secret), "[MASKED]");
    for text in [
        "pa%20ss%22w%27ord%2F%3C%C3%BC%3E%26%241%5Cx",
        "pa%20ss%22w%27ord%2f%3c%c3%bc%3e%26%241%5cx",
        "pa+ss%22w%27ord%2F%3C%C3%BC%3E%26%241%5Cx",
        "pa%20ss%22w'ord%2F%3C%C3%BC%3E%26%241%5Cx",
        "pa%20ss%22w%27ord/%3C%C3%BC%3E%26%241%5Cx",
        "70612073732277276f72642f3cc3bc3e2624315c78",
        "70612073732277276F72642F3CC3BC3E2624315C78",
        r#"pa ss\"w'ord/<ü>&$1\\x"#,
        r#"pa ss\"w'ord/<\u00fc>&$1\\x"#,
        r#"pa ss\"w'ord/<\u00FC>&$1\\x"#,
        r#"pa ss\"w'ord\/<ü>&$1\\x"#,
        r#"pa ss\"w'ord/\u003cü\u003e\u0026$1\\x"#,
        r#"pa ss"w'\''ord/<ü>&$1\x"#,
        r#"pa ss"w'"'"'ord/<ü>&$1\x"#,
        r#"pa ss\"w'ord/<ü>&\$1\\x"#,
        r#"pa ss"w\'ord/<ü>&$1\\x"#,
        r#"pa ss"w\'ord/<\303\274>&$1\\x"#,
        r#"pa\ ss\"w\'ord/\<ü\>\&\$1\\x"#,
        "pa ss\"w'ord/&lt;ü&gt;&amp;$1\\x",
        "pa ss&quot;w&#39;ord/&lt;ü&gt;&amp;$1\\x",
        "pa ss&quot;w&apos;ord/&lt;ü&gt;&amp;$1\\x",
        "pa ss&#34;w&#39;ord/&lt;ü&gt;&amp;$1\\x",
        "pa ss&quot;w&#x27;ord/&lt;ü&gt;&amp;$1\\x",
    ] {
        assert_eq!(masked(&[secret], &format!("<{text}>")), "<[MASKED]>", "{text}");
    }
}

/// Only the last character, which depends on what follows, may stay, and those shared with neighbours.
#[test]
fn base64_in_every_alignment() {
    let secret = "s3cr?t-v>lue-é";
    for (text, expected) in [
        // printf 's3cr?t-v>lue-é' | base64, and with a line feed, a user before it, both alphabets
        ("czNjcj90LXY+bHVlLcOp", "[MASKED]"),
        ("czNjcj90LXY-bHVlLcOp", "[MASKED]"),
        ("czNjcj90LXY+bHVlLcOpCg==", "[MASKED]Cg=="),
        ("dTpzM2NyP3Qtdj5sdWUtw6k=", "dTp[MASKED]k="),
        ("YTpiOnMzY3I/dC12Pmx1ZS3DqQ==", "YTpiOn[MASKED]Q=="),
        ("dXM6czNjcj90LXY+bHVlLcOpOng=", "dXM6[MASKED]Ong="),
    ] {
        assert_eq!(masked(&[secret], text), expected, "{text}");
    }
}

#[test]
fn several_lines_in_every_shape() {
    let secret = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n  AQEFAASCBKcwggSjAgEA\nx\n-----END KEY-----\n";
    assert_eq!(masked(&[secret], secret), "[MASKED]\n");
    assert_eq!(masked(&[secret], &secret.replace('\n', "\r\n")), "[MASKED]\r\n");
    assert_eq!(masked(&[secret], "> MIIEvQIBADANBgkqhkiG9w0B <"), "> [MASKED] <");
    assert_eq!(masked(&[secret], "\tAQEFAASCBKcwggSjAgEA\r\n"), "\t[MASKED]\r\n");
    let json = secret.replace('\n', "\\n");
    assert_eq!(masked(&[secret], &format!("\"{json}\"")), "\"[MASKED]\\n\"");
    // a line too short to be told from anything else
    assert_eq!(masked(&[secret], "x\n"), "x\n");
}

/// `base64` wraps at 76 columns, so that no line holds the whole value.
#[test]
fn base64_in_lines() {
    let secret = "0123456789".repeat(20);
    let line = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2";
    assert_eq!(masked(&[&secret], &format!("{line}\n")), "[MASKED]\n");
}

#[test]
fn white_space_around_a_value_is_no_secret() {
    assert_eq!(masked(&["token-1234\n"], "token-1234\nnext"), "[MASKED]\nnext");
    assert_eq!(masked(&["  token-1234\r\n"], "token-1234"), "[MASKED]");
}

#[test]
fn short_values_are_told_and_left_alone() {
    let set = set(&["abc", "long enough", " 12 \n", "", "four"]);
    let short = [0, 2, 3].map(|index| (index, Unmaskable::TooShort));
    assert_eq!(set.unmaskable(), short);
    let values: Vec<&[u8]> = set.values().iter().map(Secret::expose).collect();
    assert_eq!(values, [b"abc".as_slice(), b"long enough", b" 12 \n", b"", b"four"]);
    assert_eq!(set.mask(b"abc 12 four"), b"abc 12 [MASKED]");
}

#[test]
fn a_large_value_is_masked_and_holds_little_back() {
    let secret: String = (0..11_000).map(|number: u32| number.to_string() + ".").collect();
    assert!((50_000..64_000).contains(&secret.len()));
    assert_eq!(masked(&[&secret], &format!("[{secret}]")), "[[MASKED]]");
    assert_eq!(chunked(&[&secret], secret.as_bytes().chunks(7)), "[MASKED]");
    let mut masker = Masker::new(&set(&[&secret]));
    let mut out = Vec::new();
    masker.push(&secret.as_bytes()[..20_000], &mut out);
    masker.push(b"!", &mut out);
    assert_eq!(out, b"[MASKED]!");
}

/// As many as fit are masked, one by one, whatever else the set holds.
#[test]
fn a_value_of_64_kib_with_many_lines_is_masked_in_every_shape() {
    let line = |number: usize| format!("{:064}\n", number * 7_919 + 1);
    let secret: String = (0..1000).map(line).collect();
    assert!(secret.len() < 64 << 10);
    let set = set(&["a normal one", &secret]);
    assert_eq!(set.unmaskable(), []);
    assert_eq!(set.mask(secret.as_bytes()), b"[MASKED]\n");
    assert_eq!(set.mask(secret.replace('\n', "\r\n").as_bytes()), b"[MASKED]\r\n");
    assert_eq!(set.mask(format!("{}|", line(700)).as_bytes()), b"[MASKED]\n|");
}

/// Above that only its lines are.
#[test]
fn a_longer_value_is_masked_by_line() {
    let line = |number: usize| format!("{:063}", number * 7_919 + 1);
    let secret: String = (0..1100).map(|number| line(number) + "\n").collect();
    assert!(secret.len() > 64 << 10);
    let text = format!("{}\n{}", line(3), line(1000));
    assert_eq!(masked(&[&secret], &text), "[MASKED]\n[MASKED]");
    let one_line = "0123456789".repeat(7000);
    assert_eq!(masked(&[&one_line], &format!("<{one_line}>")), "<[MASKED]>");
    assert_eq!(set(&[&"short\n".repeat(20_000)]).unmaskable(), [(0, Unmaskable::TooShort)]);
}

#[test]
fn too_many_bytes_are_told_by_index() {
    let line = |seed: usize| format!("{:064}", seed * 7 + 1);
    let huge: String = (0..20_000).map(|number| line(number) + "\n").collect();
    let set = set(&["a normal one", &huge, "another one"]);
    assert_eq!(set.unmaskable(), [(1, Unmaskable::TooLarge)]);
    assert_eq!(set.mask(b"a normal one, another one"), b"[MASKED], [MASKED]");
}

fn with(options: MaskOptions, value: &str, text: &str) -> String {
    let set = MaskSet::with_options(vec![Secret::new(value)], options);
    let mut masker = Masker::new(&set);
    let mut bytewise = Vec::new();
    text.as_bytes().chunks(1).for_each(|byte| masker.push(byte, &mut bytewise));
    masker.finish(&mut bytewise);
    let whole = set.mask(text.as_bytes());
    assert_eq!(whole, bytewise);
    String::from_utf8_lossy(&whole).into_owned()
}

#[test]
fn backwards_where_it_is_asked_for() {
    let options = MaskOptions { reversed: true, ..MaskOptions::default() };
    assert_eq!(with(options, "s3cr3t-välue", "<euläv-t3rc3s> s3cr3t-välue"), "<[MASKED]> [MASKED]");
    assert_eq!(with(options, "one line\nand another", "rehtona dna\nenil eno"), "[MASKED]");
    assert_eq!(with(MaskOptions::default(), "s3cr3t-value", "eulav-t3rc3s"), "eulav-t3rc3s");
    // Too short backwards, and still masked as it is.
    assert_eq!(with(options, "abcdefg", "gfedcba abcdefg"), "gfedcba [MASKED]");
}

#[test]
fn in_colours_where_it_is_asked_for() {
    let options = MaskOptions { coloured: true, ..MaskOptions::default() };
    let coloured = |text: &str| with(options, "s3cr3t-value", text);
    for (text, expected) in [
        ("\x1b[31ms3cr3t\x1b[0m-value\x1b[K!", "\x1b[31m[MASKED]\x1b[K!"),
        ("s\x1b[1;38;5;196m3cr3t-valu\x1b[m\x1b[Ke", "[MASKED]"),
        // Encoded, and coloured then.
        ("czNjcj\x1b[1mN0LXZhbHVl", "[MASKED]"),
        // The sequence has no end: what stands there is taken for one, and the text itself is searched too.
        ("\x1b[1s3cr3t-value", "\x1b[1[MASKED]"),
        ("\x1b[s3cr3t-value", "\x1b[[MASKED]"),
        ("s3cr3t\x1b-value", "[MASKED]"),
        ("s3cr3t\x1b[0m", "[MASKED]\x1b[0m"),
        ("\x1b[0mclean\x1b[1m text\x1b[0m", "\x1b[0mclean\x1b[1m text\x1b[0m"),
    ] {
        assert_eq!(coloured(text), expected, "{text:?}");
    }
    let plain = with(MaskOptions::default(), "s3cr3t-value", "s3cr3t\x1b[0m-value");
    assert_eq!(plain, "s3cr3t\x1b[0m-value");
}
