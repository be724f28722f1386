//! Values as people write them: sizes, durations, patterns.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use serde::de::value::StrDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, written as `512m`, `2GiB` or a plain number; k, m, g, t are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Number(bytes)) => Ok(Self(bytes)),
            Ok(Written::Text(text)) => bytes(&text).map(Self).ok_or_else(|| {
                D::Error::custom(format!(
                    "{text:?} is not a size; write for example \"512m\" or \"2g\""
                ))
            }),
            Err(_) => Err(D::Error::custom("expected a size such as \"512m\" or \"2g\"")),
        }
    }
}

pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    number.checked_mul(1024_u64.checked_pow(power)?)
}

/// A duration, written as `10s` or `2m 30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

impl Period {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(|error| {
            D::Error::custom(format!(
                "{text:?} is not a duration ({error}); write for example \"10s\""
            ))
        })
    }
}

/// Glob patterns: `*` stays within one path segment, `**` does not.
#[derive(Debug, Clone)]
pub struct Patterns {
    written: Vec<String>,
    set: GlobSet,
}

impl Patterns {
    /// Whether one of them matches; no pattern matches nothing.
    pub fn matches(&self, text: &str) -> bool {
        self.set.is_match(text)
    }

    /// As the operator wrote them.
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// Compiles patterns.
    ///
    /// # Errors
    /// When one is no glob.
    pub fn new(written: Vec<String>) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in &written {
            set.add(glob(pattern)?);
        }
        Ok(Self { set: set.build()?, written })
    }

    /// A pattern that matches everything.
    pub fn everything() -> Self {
        Self::new(vec!["**".to_owned()]).unwrap_or_else(|_| Self::nothing())
    }

    /// No pattern.
    pub fn nothing() -> Self {
        Self { written: Vec::new(), set: GlobSet::empty() }
    }
}

fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).build()
}

impl Serialize for Patterns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(one_or_many(deserializer)?).map_err(D::Error::custom)
    }
}

/// Takes `"a"` as well as `["a", "b"]`.
pub(super) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(OneOrMany(PhantomData))
}

/// The same, for a key that may be left out.
pub(super) fn some_or_many<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    one_or_many(deserializer).map(Some)
}

/// Each of these keys from `own` where it has it, else from `general`.
macro_rules! overlay {
    ($general:expr, $own:expr, $($key:ident),+ $(,)?) => {
        Self { $($key: $own.$key.clone().or_else(|| $general.$key.clone())),+ }
    };
}
pub(super) use overlay;

struct OneOrMany<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        T::deserialize(StrDeserializer::new(text)).map(|one| vec![one])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("512m", Some(512 << 20)),
            ("2GiB", Some(2 << 30)),
            ("1 kb", Some(1024)),
            ("m", None),
            ("5x", None),
            ("99999999999999g", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn one_star_stays_in_its_segment() {
        let patterns = Patterns::new(vec!["team/*".into(), "deep/**".into()]).unwrap();
        assert!(patterns.matches("team/app"));
        assert!(!patterns.matches("team/sub/app"));
        assert!(patterns.matches("deep/sub/app"));
        assert!(!Patterns::nothing().matches("team/app"));
        assert!(Patterns::everything().matches("a/b/c"));
    }
}
