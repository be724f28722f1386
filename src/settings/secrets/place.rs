//! `mount/path@version#field`: where a secret lies, as people write it. It knows no other key.

/// Where a secret lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct Place {
    /// `mount/path`.
    pub(in crate::settings) path: String,
    /// A version, counted from 1.
    pub(in crate::settings) version: Option<u64>,
    /// A field; all of them for `None`.
    pub(in crate::settings) field: Option<String>,
}

/// Takes a place apart. An `@` before anything but a number belongs to the path, as in
/// `kv/mail/ops@example.com#password`.
pub(in crate::settings) fn parse(text: &str) -> Result<Place, String> {
    let (path, field) = match text.split_once('#') {
        Some((path, field)) => (path, Some(field)),
        None => (text, None),
    };
    let malformed =
        || format!("{text:?} is not mount/path@version#field, such as kv/app/demo#password");
    let (path, version) = match path.rsplit_once('@') {
        Some((path, version)) if is_number(version) => (path, Some(version)),
        _ => (path, None),
    };
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.contains(['?', '%'])
            && !part.chars().any(char::is_control)
    };
    if !path.contains('/') || !path.split('/').all(plain) || field == Some("") {
        return Err(malformed());
    }
    if let Some((name, version)) = field.and_then(|field| field.rsplit_once('@'))
        && is_number(version)
    {
        return Err(format!(
            "{text:?} has the version at its end: write \"{path}@{version}#{name}\", or key by key where \
             the field's name ends so"
        ));
    }
    let version = match version.map(str::parse) {
        None => None,
        Some(Ok(version)) if version > 0 => Some(version),
        Some(_) => return Err(format!("{text:?}: versions are counted from 1")),
    };
    Ok(Place { path: path.to_owned(), version, field: field.map(str::to_owned) })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, path, version, field) in [
            ("kv/a#b", "kv/a", None, Some("b")),
            ("kv/a@3#b", "kv/a", Some(3), Some("b")),
            ("kv/a@3", "kv/a", Some(3), None),
            ("kv/a", "kv/a", None, None),
            ("kv/ops@example.com#b", "kv/ops@example.com", None, Some("b")),
            ("kv/ops@example.com@12#b", "kv/ops@example.com", Some(12), Some("b")),
            ("kv/a#b#c", "kv/a", None, Some("b#c")),
            ("kv/a#b@c", "kv/a", None, Some("b@c")),
            ("kv/a b/ü#b", "kv/a b/ü", None, Some("b")),
        ] {
            let field = field.map(str::to_owned);
            assert_eq!(parse(text), Ok(Place { path: path.to_owned(), version, field }), "{text}");
        }
    }

    #[test]
    fn what_is_no_place() {
        for (text, word) in [
            ("", "is not mount/path"),
            ("kv#b", "is not mount/path"),
            ("kv/#b", "is not mount/path"),
            ("/kv/a#b", "is not mount/path"),
            ("kv/../sys#b", "is not mount/path"),
            ("kv/a#", "is not mount/path"),
            ("kv/a?x#b", "is not mount/path"),
            ("kv/a\n#b", "is not mount/path"),
            ("kv/a@0#b", "counted from 1"),
            ("kv/a@99999999999999999999#b", "counted from 1"),
            ("kv/a#b@3", "write \"kv/a@3#b\""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
