//! Each way of writing, against what other tools print for the same bytes.

use super::*;

fn texts(forms: Vec<Vec<u8>>) -> Vec<String> {
    forms.into_iter().map(|form| form.escape_ascii().to_string()).collect()
}

/// `base64` of the value behind nothing, `x` and `xy`: what is left is in all of them the same, whatever
/// comes before and after.
#[test]
fn a_core_depends_on_the_value_alone() {
    let cores = base64_cores(b"secret");
    assert_eq!(cores, [b"c2VjcmV0".to_vec(), b"NlY3Jld".to_vec(), b"zZWNyZX".to_vec()]);
    for (before, core) in cores.iter().enumerate() {
        for other in [0, 0xff] {
            let text = [vec![other; before], b"secret".to_vec(), vec![other; 2]].concat();
            let coded = BASE64_STANDARD_NO_PAD.encode(&text).into_bytes();
            assert!(coded.windows(core.len()).any(|part| part == core), "behind {before}");
        }
    }
    assert!(base64_cores(b"").iter().all(Vec::is_empty));
}

#[test]
fn the_url_alphabet_differs_in_two_characters() {
    assert_eq!(url_alphabet(b"aZ09+/"), b"aZ09-_");
}

#[test]
fn percent_encodings_differ_in_what_they_keep() {
    let plain = b"aZ9 -_.~!*'()/+\xff";
    assert_eq!(
        texts(percent(plain)),
        [
            "aZ9%20-_.~%21%2A%27%28%29%2F%2B%FF",
            "aZ9%20-_.~%21%2a%27%28%29%2f%2b%ff",
            "aZ9%20-_.~!*\\'()%2F%2B%FF",
            "aZ9%20-_.~!*\\'()%2f%2b%ff",
            "aZ9%20-_.~%21%2A%27%28%29/%2B%FF",
            "aZ9%20-_.~%21%2a%27%28%29/%2b%ff",
            "aZ9+-_.%7E%21*%27%28%29%2F%2B%FF",
            "aZ9+-_.%7e%21*%27%28%29%2f%2b%ff",
            "aZ9+-_.~%21%2A%27%28%29%2F%2B%FF",
            "aZ9+-_.~%21%2a%27%28%29%2f%2b%ff",
        ]
    );
}

#[test]
fn json_strings_of_the_common_libraries() {
    let written = |slash, html, ascii| {
        let text = json_in(
            "\"\\\n\r\t\u{8}\u{c}\u{1}\u{1f} /<>&é😀~".as_bytes(),
            JsonStyle { slash, html, ascii },
        );
        String::from_utf8(text).unwrap()
    };
    let short = r#"\"\\\n\r\t\b\f\u0001\u001f "#;
    assert_eq!(written(false, false, None), format!("{short}/<>&é😀~"));
    assert_eq!(written(true, false, None), format!("{short}\\/<>&é😀~"));
    assert_eq!(written(false, true, None), format!("{short}/\\u003c\\u003e\\u0026é😀~"));
    let lower = format!("{short}/<>&\\u00e9\\ud83d\\ude00~");
    assert_eq!(written(false, false, Some(Case::Lower)), lower);
    let short = r#"\"\\\n\r\t\b\f\u0001\u001F "#;
    let upper = format!("{short}/<>&\\u00E9\\uD83D\\uDE00~");
    assert_eq!(written(false, false, Some(Case::Upper)), upper);
}

#[test]
fn json_keeps_bytes_that_are_no_text() {
    assert_eq!(texts(json(b"a\xffb\"")), ["a\\xffb\\\\\\\""; 9]);
}

/// In the order of the comments there.
#[test]
fn shells_quote_in_their_ways() {
    let all = "a'\"\\$`b c%+-./:=@_!#&()*,;<>?[]^{|}~";
    assert_eq!(
        shell(all.as_bytes()).iter().map(|form| String::from_utf8_lossy(form)).collect::<Vec<_>>(),
        [
            r#"a'\''"\$`b c%+-./:=@_!#&()*,;<>?[]^{|}~"#,
            r#"a'"'"'"\$`b c%+-./:=@_!#&()*,;<>?[]^{|}~"#,
            r#"a'\"\\\$\`b c%+-./:=@_!#&()*,;<>?[]^{|}~"#,
            r#"a\'\"\\\$\`b\ c%+-./:=@_\!\#\&\(\)\*\,\;\<\>\?\[\]\^\{\|\}\~"#,
            r#"a\'\"\\\$\`b\ c%+-./:=@_\!\#\&\(\)\*\,\;\<\>\?\[\]\^\{\|\}~"#,
            r#"a\'"\\$`b c%+-./:=@_!#&()*,;<>?[]^{|}~"#,
            r#"a\'"\\$`b c%+-./:=@_!#&()*,;<>?[]^{|}~"#,
            r#"a'"\\$`b c%+-./:=@_!#&()*,;<>?[]^{|}~"#,
        ]
    );
}

/// `printf %q` of bash 5.
#[test]
fn a_tilde_is_quoted_where_bash_expands_it() {
    let written = ["\\~a", "a~", "a:\\~b", "a=\\~b", "\\~~a", "a\\ b~c"];
    for (plain, quoted) in ["~a", "a~", "a:~b", "a=~b", "~~a", "a b~c"].into_iter().zip(written) {
        assert_eq!(printf_q(plain.as_bytes()), quoted.as_bytes(), "{plain}");
    }
}

#[test]
fn ansi_c_quoting_of_what_cannot_be_shown() {
    let bytes = b"\n\r\t\x07\x08\x0b\x0c\x1b'\\\x01\x1f \x7e\x7f\x80\xff";
    let shown = r"\n\r\t\a\b\v\f\E\'\\\001\037 ~\177";
    assert_eq!(ansi_c(bytes, false), format!("{shown}\\200\\377").as_bytes());
    assert_eq!(ansi_c(bytes, true), [shown.as_bytes(), b"\x80\xff"].concat());
}

#[test]
fn entities_as_the_libraries_choose_them() {
    assert_eq!(
        texts(xml(b"<a>&\"'")),
        [
            "&lt;a&gt;&amp;\\\"\\'",
            "&lt;a&gt;&amp;&quot;\\'",
            "&lt;a&gt;&amp;&quot;&#39;",
            "&lt;a&gt;&amp;&quot;&#x27;",
            "&lt;a&gt;&amp;&quot;&apos;",
            "&lt;a&gt;&amp;&#34;&#39;",
        ]
    );
}
