//! Which forms a value gets, and what does not fit into a set.

use super::*;

/// Values of four letters have two forms: as they are, and 8 hexadecimal digits.
const BYTES_OF_FOUR_LETTERS: usize = 12;

fn secrets(values: &[&str]) -> Vec<Secret> {
    values.iter().map(|value| Secret::new(*value)).collect()
}

fn too_large(indices: &[usize]) -> Vec<(usize, Unmaskable)> {
    indices.iter().map(|index| (*index, Unmaskable::TooLarge)).collect()
}

fn left_out(values: &[&str], room: usize, long_room: usize) -> Vec<(usize, Unmaskable)> {
    within(&secrets(values), MaskOptions::default(), (room, long_room)).1
}

#[test]
fn each_value_takes_its_bytes_from_the_room() {
    let values = ["abcd", "efgh", "pqrs"];
    for (room, expected) in [(3, &[][..]), (2, &[2]), (1, &[1, 2]), (0, &[0, 1, 2])] {
        let room = room * BYTES_OF_FOUR_LETTERS;
        assert_eq!(left_out(&values, room, 0), too_large(expected), "{room}");
        assert_eq!(left_out(&values, room + BYTES_OF_FOUR_LETTERS - 1, 0), too_large(expected));
    }
}

#[test]
fn what_another_value_has_already_takes_no_room() {
    assert_eq!(left_out(&["abcd", "abcd"], BYTES_OF_FOUR_LETTERS, 0), []);
    let long = "x".repeat(MAX_FORM + 1);
    let bytes = |values: &[&str]| bytes(&of_all(&secrets(values), MaskOptions::default()).0.long);
    assert_eq!(bytes(&[&long, &long]), bytes(&[&long]));
    assert_eq!(left_out(&[&long, &long], MAX_PATTERN_BYTES, bytes(&[&long])), []);
}

#[test]
fn long_forms_have_a_room_of_their_own() {
    let values = ["x", "y"].map(|letter| letter.repeat(MAX_FORM + 1));
    let values = [values[0].as_str(), &values[1], "abcd"];
    let bytes = bytes(&of_all(&secrets(&values), MaskOptions::default()).0.long) / 2;
    assert!(bytes > MAX_FORM);
    assert_eq!(left_out(&values, MAX_PATTERN_BYTES, bytes * 2), []);
    assert_eq!(left_out(&values, MAX_PATTERN_BYTES, bytes * 2 - 1), too_large(&[1]));
    assert_eq!(left_out(&values, MAX_PATTERN_BYTES, bytes - 1), too_large(&[0, 1]));
    assert_eq!(of_all(&secrets(&values), MaskOptions::default()).1, []);
}

#[test]
fn a_value_is_too_short_though_an_escape_of_it_is_not() {
    assert_eq!(of_all(&secrets(&["\"a\""]), MaskOptions::default()).1, [(0, Unmaskable::TooShort)]);
    let short_lines = "abc\n".repeat(MAX_INLINE_VALUE / 4 + 1);
    assert_eq!(
        of_all(&secrets(&[&short_lines]), MaskOptions::default()).1,
        [(0, Unmaskable::TooShort)]
    );
}

#[test]
fn line_ends_are_those_it_has_lf_and_crlf() {
    let written = |value: &str| line_ends(value.as_bytes());
    assert_eq!(
        written("a\r\nb\rc\n\r"),
        [&b"a\r\nb\rc\r\n\r"[..], b"a\nb\rc\n\r", b"a\r\nb\rc\n\r"]
    );
    assert_eq!(written("one\rline"), [b"one\rline"]);
}

#[test]
fn a_form_is_long_above_the_limit() {
    for (length, long) in [(MAX_FORM, 0), (MAX_FORM + 1, 1)] {
        let mut forms = Forms::default();
        forms.add(vec![b'x'; length], 1);
        assert_eq!(forms.long.len(), long, "{length}");
        let pattern = forms.patterns.first().unwrap().as_ref().len();
        assert_eq!(pattern, if long == 0 { MAX_FORM } else { ANCHOR });
    }
}

/// 48 bytes are just one line of 64 columns, 57 of 76.
#[test]
fn base64_has_its_lines_as_forms() {
    for (bytes, columns) in [(48, 64), (57, 76)] {
        let value: Vec<u8> = (b'0'..=b'z').cycle().take(bytes * 2).collect();
        let mut forms = Forms::default();
        forms.add_base64(&value);
        let core = &encoding::base64_cores(&value)[0];
        for line in core.chunks(columns) {
            assert!(forms.patterns.contains(&Form(line.to_vec())), "{columns}");
        }
    }
}

#[test]
fn a_reversed_value_is_one_more_form_and_its_lines_are() {
    let reversed = MaskOptions { reversed: true, ..MaskOptions::default() };
    let forms = of_all(&secrets(&["first line é\nsecond line"]), reversed).0.patterns;
    let has = |form: &str| forms.contains(&Form(form.as_bytes().to_vec()));
    assert!(has("é enil tsrif") && has("enil dnoces") && has("enil dnoces\né enil tsrif"));
    assert!(forms.contains(&Form(b"\xa9\xc3 enil tsrif".to_vec())));
    assert!(!has("first line é".chars().rev().skip(1).collect::<String>().as_str()));
    // Too short to be told from other text.
    let forms = of_all(&secrets(&["abcdefg"]), reversed).0.patterns;
    assert!(!forms.contains(&Form(b"gfedcba".to_vec())));
}
