//! Expansion of `$NAME` and `${NAME}` exactly as GitLab Runner does it (Go's `os.Expand`). It knows no
//! variable itself and never expands twice.

/// Expands one text; `lookup` answers a name's value, `None` for one that is not set (it becomes empty).
///
/// As in the runner, `$$` is a dollar, `$1`, `$*` and the like are empty, a lone `$` stays, and a `${`
/// that is never closed is dropped.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, taken) = name_at(after);
        match name {
            "" if taken == 0 => out.push('$'),
            "$" => out.push('$'),
            name if is_special(name) => {}
            name => out.push_str(&lookup(name).unwrap_or_default()),
        }
        rest = &after[taken..];
    }
    out.push_str(rest);
    out
}

/// The name that follows a dollar, and how many bytes it takes with its braces.
fn name_at(text: &str) -> (&str, usize) {
    if let Some(inner) = text.strip_prefix('{') {
        return match inner.find('}') {
            Some(end) => (&inner[..end], end + 2),
            None => ("", 1),
        };
    }
    let first = text.chars().next().map_or(0, char::len_utf8);
    if first > 0 && is_special(&text[..first]) {
        return (&text[..first], first);
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let end = text.bytes().position(|byte| !is_name(byte)).unwrap_or(text.len());
    (&text[..end], end)
}

/// The shell's one-character parameters.
fn is_special(name: &str) -> bool {
    matches!(name.as_bytes(), [b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_the_runner_does() {
        let lookup = |name: &str| (name == "TAG").then(|| "3.13".to_owned());
        for (text, expected) in [
            ("python:$TAG-slim", "python:3.13-slim"),
            ("python:${TAG}_1", "python:3.13_1"),
            ("$TAG_1", ""),
            ("a$$TAG", "a$TAG"),
            ("a$1TAG", "aTAG"),
            ("$", "$"),
            ("5$ or 6$", "5$ or 6$"),
            ("${TAG", "TAG"),
            ("${}x", "x"),
            ("$é", "$é"),
            ("${$}", "$"),
            ("", ""),
        ] {
            assert_eq!(expand(text, lookup), expected, "{text}");
        }
    }

    #[test]
    fn never_expands_twice() {
        assert_eq!(expand("$A", |_| Some("$A$B".to_owned())), "$A$B");
    }
}
