//! `[gc]`: how much room images, caches and build cache may take, and how much the engine's disk keeps
//! free. It knows no disk: what a percentage comes to is asked with the whole.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::value::{self, bytes};
use super::{Patterns, Period, Problem};

/// `[gc]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcSettings {
    /// Whether `longshore gc` removes anything, and jobs that find no room ask for it.
    pub enabled: bool,
    /// Room for images, in bytes or as a part of the file system.
    pub images: Amount,
    /// Room for the volumes that keep projects' caches.
    pub cache_volumes: Amount,
    /// Room for what the builder keeps of builds.
    pub build_cache: Amount,
    /// Bytes that stay free on the file system of the engine's data root.
    pub free: Watermark,
    /// The same of its inodes.
    pub free_inodes: Watermark,
    /// What was used, pulled or tagged within this time stays.
    pub min_age: Period,
    /// Images, by reference, and cache volumes, by name, that stay.
    #[serde(deserialize_with = "patterns")]
    pub keep: Patterns,
}

impl Default for GcSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            images: Amount::percent(50),
            cache_volumes: Amount::percent(25),
            build_cache: Amount::percent(20),
            free: Watermark { low: Amount::percent(10), high: Amount::percent(20) },
            free_inodes: Watermark { low: Amount::percent(5), high: Amount::percent(10) },
            min_age: Period::seconds(60 * 60),
            keep: Patterns::nothing(),
        }
    }
}

/// Where room runs short, and how far it is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// With less free than this, something is removed and no job begins.
    pub low: Amount,
    /// Until so much is free.
    pub high: Amount,
}

impl Watermark {
    /// How much is to be freed now of a whole with so much free; `None` where there is room.
    pub fn shortage(&self, free: u64, whole: u64) -> Option<u64> {
        let low = self.low.of(whole);
        (free < low).then(|| self.high.of(whole).max(low).saturating_sub(free))
    }

    fn check(&self, key: &str) -> Problem {
        let wrong = match (self.low, self.high) {
            (Amount::Fixed(low), Amount::Fixed(high)) => low > high,
            (Amount::Hundredths(low), Amount::Hundredths(high)) => low > high,
            _ => false,
        };
        if wrong {
            let problem = "low must not be more than high: below low something is removed, until high \
                           is free";
            return Err((format!("gc.{key}"), problem.to_owned()));
        }
        Ok(())
    }
}

impl GcSettings {
    pub(super) fn check(&self) -> Problem {
        self.free.check("free")?;
        self.free_inodes.check("free_inodes")
    }
}

/// A fixed number (`"20GiB"`, 5000), or a part of a whole (`"15%"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Bytes or inodes.
    Fixed(u64),
    /// Hundredths of a percent, 1 to 10000.
    Hundredths(u16),
}

impl Amount {
    const fn percent(percent: u16) -> Self {
        Self::Hundredths(percent * 100)
    }

    /// What it comes to of a whole.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Fixed(number) => number,
            Self::Hundredths(hundredths) => {
                let part = u128::from(whole) * u128::from(hundredths) / 10_000;
                u64::try_from(part).unwrap_or(u64::MAX)
            }
        }
    }

    /// What it comes to without knowing the whole.
    pub fn fixed(self) -> Option<u64> {
        match self {
            Self::Fixed(number) => Some(number),
            Self::Hundredths(_) => None,
        }
    }
}

const HINT: &str = "write for example \"20GiB\" or \"15%\"";

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a size or a percentage; {HINT}")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
        let wrong = |_| E::custom(format!("{number} is less than nothing; {HINT}"));
        u64::try_from(number).map(Amount::Fixed).map_err(wrong)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        amount(text).ok_or_else(|| {
            E::custom(format!("{text:?} is neither a size nor a percentage; {HINT}"))
        })
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

fn amount(text: &str) -> Option<Amount> {
    let Some(percent) = text.trim().strip_suffix('%') else {
        return bytes(text).map(Amount::Fixed);
    };
    let (whole, fraction) = percent.trim_end().split_once('.').unwrap_or((percent.trim_end(), "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 2 {
        return None;
    }
    let tenths = if fraction.len() == 1 { 10 } else { 1 };
    let whole: u16 = whole.parse().ok()?;
    let hundredths = whole.checked_mul(100)?.checked_add(fraction.parse::<u16>().ok()? * tenths)?;
    (hundredths <= 10_000).then_some(Amount::Hundredths(hundredths))
}

fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Patterns, D::Error> {
    Patterns::new(value::one_or_many(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::Settings;

    fn parsed(toml: &str) -> Result<GcSettings, String> {
        let text = format!("[gc]\n{toml}\n");
        let settings = Settings::parse(&text, Path::new("longshore.toml"));
        settings.map(|settings| settings.gc).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_and_parts() {
        for (text, of_1000) in [
            ("\"20GiB\"", 20 << 30),
            ("5000", 5000),
            ("\"15%\"", 150),
            ("\"7.5 %\"", 75),
            ("\"0.25%\"", 2),
            ("\"100%\"", 1000),
            ("\"0%\"", 0),
        ] {
            let gc = parsed(&format!("images = {text}")).unwrap();
            assert_eq!(gc.images.of(1000), of_1000, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_told_in_one_line() {
        for (text, word) in [
            ("images = \"101%\"", "\"101%\" is neither a size nor a percentage"),
            ("images = \"-1%\"", "write for example \"20GiB\" or \"15%\""),
            ("images = \"1.234%\"", "neither"),
            ("images = \"many\"", "`gc.images`"),
            ("images = true", "expected a size or a percentage"),
            ("images = -5", "-5 is less than nothing"),
            ("free = { low = \"20%\", high = \"10%\" }", "gc.free: low must not be more than high"),
            ("free_inodes = { low = 9, high = 1 }", "gc.free_inodes: low must not be more"),
            ("free = { low = \"20%\" }", "missing field `high`"),
            ("min_age = \"soon\"", "\"soon\" is not a duration"),
            ("keep = [\"a{\"]", "`gc.keep`"),
            ("image = \"1%\"", "did you mean `images`?"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(word) && error.lines().count() <= 2, "{text}: {error}");
        }
    }

    #[test]
    fn a_shortage_is_what_is_missing_to_high_once_it_is_below_low() {
        let mark = Watermark { low: Amount::percent(10), high: Amount::Fixed(300) };
        assert_eq!(mark.shortage(100, 1000), None);
        assert_eq!(mark.shortage(99, 1000), Some(201));
        // Of kinds that only the disk compares: at least to low.
        let odd = Watermark { low: Amount::percent(50), high: Amount::Fixed(300) };
        assert_eq!(odd.shortage(400, 1000), Some(100));
        assert_eq!(Watermark { low: Amount::Fixed(0), ..odd }.shortage(0, 1000), None);
    }
}
