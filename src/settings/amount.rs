//! The values of limits that can be written in more than one way: a share of the host, a limit of
//! `setrlimit`. What they are limits of stands elsewhere.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{F64Deserializer, I64Deserializer, StrDeserializer};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A fixed amount, or a job's share of the host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share<T> {
    /// `"auto"`: what the host has, divided by `concurrency`.
    Auto,
    /// So much.
    Amount(T),
}

impl<T: Copy> Share<T> {
    /// The amount; `None` for a share that was not worked out, see [`LimitSettings::shared`].
    pub fn amount(&self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Amount(amount) => Some(*amount),
        }
    }
}

struct ShareVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ShareVisitor<T> {
    type Value = Share<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"auto\" or an amount")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Share<T>, E> {
        match text {
            "auto" => Ok(Share::Auto),
            text => T::deserialize(StrDeserializer::new(text)).map(Share::Amount),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Share<T>, E> {
        T::deserialize(I64Deserializer::new(number)).map(Share::Amount)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Share<T>, E> {
        T::deserialize(F64Deserializer::new(number)).map(Share::Amount)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Share<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShareVisitor(PhantomData))
    }
}

/// One limit of `setrlimit`: `1024`, or `"1024:4096"` for soft and hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// What counts until the job raises it; -1 for no limit.
    pub soft: i64,
    /// How far the job may raise it; -1 for no limit.
    pub hard: i64,
}

struct UlimitVisitor;

impl Visitor<'_> for UlimitVisitor {
    type Value = Ulimit;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, or \"SOFT:HARD\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Ulimit, E> {
        Ok(Ulimit { soft: number, hard: number })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ulimit, E> {
        let wrong = || E::custom(format!("{text:?} is not \"SOFT:HARD\" in numbers"));
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| text.trim().parse().map_err(|_| wrong());
        Ok(Ulimit { soft: number(soft)?, hard: number(hard)? })
    }
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UlimitVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Read {
        share: Share<f64>,
        ulimit: Ulimit,
    }

    fn read(share: &str, ulimit: &str) -> Result<Read, String> {
        let text = format!("share = {share}\nulimit = {ulimit}\n");
        toml::from_str(&text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn each_way_to_write_an_amount_is_read() {
        let ulimit = |soft, hard| Ulimit { soft, hard };
        for (share, meant, written, limit) in [
            ("\"auto\"", Share::Auto, "1024", ulimit(1024, 1024)),
            ("2", Share::Amount(2.0), "\"64:-1\"", ulimit(64, -1)),
            ("1.5", Share::Amount(1.5), "\"7\"", ulimit(7, 7)),
        ] {
            assert_eq!(read(share, written), Ok(Read { share: meant, ulimit: limit }));
        }
        assert!(read("1", "\"a:b\"").unwrap_err().contains("is not \"SOFT:HARD\""));
        assert!(read("true", "1").unwrap_err().contains("\"auto\" or an amount"));
    }
}
