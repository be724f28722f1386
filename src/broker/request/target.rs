//! The target of a request line: path and query, taken apart by rules that leave one reading only
//! (T2, T3, T7). Pure.

use crate::broker::refusal::Refusal;

use super::MAX_TARGET;

/// Oldest version of the API that clients may speak.
const OLDEST: u32 = 24;
/// Newest one whose requests have been read for new fields. Clients that know newer ones agree with
/// `_ping` on one that the daemon has.
const NEWEST: u32 = 52;

/// A target taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Segments of the path behind the version.
    pub(super) segments: Vec<String>,
    /// Query, decoded once; each key once, but for those in [`REPEATED`].
    pub(super) query: Vec<(String, String)>,
}

impl Target {
    /// Takes it apart.
    ///
    /// # Errors
    /// Where it is not exactly one path as Docker's clients write it.
    pub(super) fn read(target: &str) -> Result<Self, Refusal> {
        let malformed = |message: &str| Refusal::malformed("target", message);
        if target.len() > MAX_TARGET {
            return Err(malformed("the request line is too long").with_status(414));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(below) = path.strip_prefix('/') else {
            return Err(malformed("the target must be a path that begins with a slash"));
        };
        let names_images = below.split('/').take(2).any(|part| NAMING_IMAGES.contains(&part));
        let mut segments = below
            .split('/')
            .map(|part| segment(part, names_images))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(version) = segments.first().filter(|first| is_version(first)) {
            check_version(version)?;
            segments.remove(0);
        }
        if segments.is_empty() {
            return Err(malformed("the path ends with the version"));
        }
        Ok(Self { segments, query: pairs(query)? })
    }
}

/// First words of endpoints with the name of an image in their path.
const NAMING_IMAGES: [&str; 2] = ["images", "distribution"];

fn segment(text: &str, names_images: bool) -> Result<String, Refusal> {
    let malformed = |message: &str| Refusal::malformed("path", message);
    // An image's name is one segment to some clients: its slashes and colons, and only they, are coded.
    let coded = [("%2F", "/"), ("%2f", "/"), ("%3A", ":"), ("%3a", ":"), ("%40", "@")];
    let decode = |text: String, (code, plain): &(&str, &str)| text.replace(code, plain);
    let coded = if names_images { &coded[..] } else { &[] };
    let decoded = coded.iter().fold(text.to_owned(), decode);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/@-".contains(&byte);
    if !decoded.bytes().all(legal) {
        return Err(malformed("the path has characters that no path of Docker's API has"));
    }
    if decoded.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(malformed("the path has empty parts, `.` or `..`"));
    }
    Ok(decoded)
}

fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn check_version(segment: &str) -> Result<(), Refusal> {
    let minor = segment.strip_prefix("v1.").filter(|text| !text.starts_with('0'));
    let minor = minor.filter(|text| text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit()));
    match minor.and_then(|text| text.parse::<u32>().ok()) {
        Some(OLDEST..=NEWEST) => Ok(()),
        _ => Err(Refusal::malformed(
            "version",
            format!("only versions 1.{OLDEST} to 1.{NEWEST} of the API are spoken here"),
        )),
    }
}

/// Keys that clients write once for each of their values.
const REPEATED: [&str; 3] = ["t", "names", "extrahosts"];

fn pairs(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let malformed = |message: &str| Refusal::malformed("query", message);
    let mut all: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(key), Some(value)) = (decode(key), decode(value)) else {
            return Err(malformed("the query is not percent-encoded UTF-8"));
        };
        if value.contains('\0') {
            return Err(malformed("the query has characters that none of Docker's has"));
        }
        if !REPEATED.contains(&key.as_str()) && all.iter().any(|(known, _)| *known == key) {
            return Err(malformed("a key of the query comes twice"));
        }
        all.push((key, value));
    }
    Ok(all)
}

/// Decodes `%XX` and `+` once.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hex(bytes.next()?)? << 4) | hex(bytes.next()?)?,
            b'+' => b' ',
            // A separator to some readers.
            b';' => return None,
            0x21..=0x7e => byte,
            _ => return None,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
