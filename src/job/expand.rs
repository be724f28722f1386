//! Expansion of `$NAME` and `${NAME}` as GitLab Runner does it: once, unknown names become nothing.

/// Expands `text`; `value` gives a variable's value.
pub fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        let (name, length) = name_at(after);
        if let Some(name) = name {
            expanded.push_str(&value(name).unwrap_or_default());
        } else {
            expanded.push('$');
            // `$$` is a dollar sign.
            if let Some(literal) = after.strip_prefix('$') {
                rest = literal;
                continue;
            }
        }
        rest = &after[length..];
    }
    expanded.push_str(rest);
    expanded
}

/// The name that begins here, and how many bytes it takes with its braces.
fn name_at(text: &str) -> (Option<&str>, usize) {
    if let Some(inner) = text.strip_prefix('{') {
        return match inner.find('}') {
            Some(end) => (Some(&inner[..end]), end + 2),
            None => (None, 0),
        };
    }
    let end = text
        .find(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
        .unwrap_or(text.len());
    if end == 0 { (None, 0) } else { (Some(&text[..end]), end) }
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn names_with_and_without_braces() {
        let value = |name: &str| (name == "TAG").then(|| "3.13".to_owned());
        for (text, expected) in [
            ("python:$TAG", "python:3.13"),
            ("python:${TAG}-slim", "python:3.13-slim"),
            ("$NONE!", "!"),
            ("$$TAG", "$TAG"),
            ("5 $ and ${", "5 $ and ${"),
            ("", ""),
        ] {
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }
}
