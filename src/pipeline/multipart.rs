//! Finds one field in a `multipart/form-data` body (RFC 7578). Pure.

/// Why a body has no such field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MultipartError {
    /// The content type names no boundary.
    #[error("the content type is no multipart/form-data with a boundary")]
    NoBoundary,
    /// The body ends before its last boundary.
    #[error("the body is cut short")]
    Cut,
    /// There is no field of this name.
    #[error("there is no field {0:?}")]
    NoField(&'static str),
}

/// The range of bytes that field `name` takes in `body`.
///
/// # Errors
/// When this is no multipart body, or it has no such field.
pub fn field(
    content_type: &str,
    body: &[u8],
    name: &'static str,
) -> Result<std::ops::Range<usize>, MultipartError> {
    let delimiter = [b"\r\n--".as_slice(), boundary(content_type)?.as_bytes()].concat();
    // The first delimiter stands at the very beginning, without a line end before it.
    let first = &delimiter[2..];
    if !body.starts_with(first) {
        return Err(MultipartError::Cut);
    }
    let mut at = first.len();
    loop {
        if body[at..].starts_with(b"--") {
            return Err(MultipartError::NoField(name));
        }
        let head = find(&body[at..], b"\r\n\r\n").ok_or(MultipartError::Cut)?;
        let start = at + head + 4;
        let end = start + find(&body[start..], &delimiter).ok_or(MultipartError::Cut)?;
        if is_named(&body[at..start], name) {
            return Ok(start..end);
        }
        at = end + delimiter.len();
    }
}

fn boundary(content_type: &str) -> Result<&str, MultipartError> {
    let mut parameters = content_type.split(';').map(str::trim);
    if !parameters.next().is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data")) {
        return Err(MultipartError::NoBoundary);
    }
    let value = parameters.find_map(|one| one.strip_prefix("boundary="));
    value
        .map(|text| text.trim_matches('"'))
        .filter(|text| !text.is_empty())
        .ok_or(MultipartError::NoBoundary)
}

fn is_named(headers: &[u8], name: &str) -> bool {
    let text = String::from_utf8_lossy(headers);
    let wanted = format!("name=\"{name}\"");
    text.lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))
        .any(|line| line.split(';').any(|part| part.trim() == wanted))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    aho_corasick::AhoCorasick::new([needle]).ok()?.find(haystack).map(|found| found.start())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=XX";

    #[test]
    fn the_field_is_found_behind_another_one() {
        let body = b"--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
            --XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n\r\nPK\r\n--X\r\n\
            --XX--\r\n";
        let range = field(KIND, body, "file").unwrap();
        assert_eq!(&body[range], b"\r\nPK\r\n--X");
        assert_eq!(field(KIND, body, "other"), Err(MultipartError::NoField("other")));
    }

    #[test]
    fn what_is_cut_short_is_no_field() {
        let body = b"--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nPK\r\n--X";
        for end in 0..body.len() {
            assert_eq!(field(KIND, &body[..end], "file"), Err(MultipartError::Cut), "{end}");
        }
        assert_eq!(field("text/plain", body, "file"), Err(MultipartError::NoBoundary));
    }
}
