//! How a secret is laid out in Vault, and how a job gets it: words of the settings as types.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a mount lays out its paths; written as `1`, `2` or `"raw"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KvVersion {
    /// KV version 1.
    V1,
    /// KV version 2: `data/` in the path, an envelope around the fields.
    V2,
    /// Any other engine: the path as it is, the fields at the top.
    Raw,
}

/// How a job gets a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretForm {
    /// As an environment variable.
    Variable,
    /// As a file in memory, whose path is in the environment variable.
    File {
        /// Its permission bits.
        mode: FileMode,
    },
}

/// Permission bits, written in octal: `"0400"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

/// Readable by the job's user alone.
impl Default for FileMode {
    fn default() -> Self {
        Self(0o400)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ModeVisitor)
    }
}

struct ModeVisitor;

impl Visitor<'_> for ModeVisitor {
    type Value = FileMode;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("octal permissions in quotes, such as \"0400\" or \"0444\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FileMode, E> {
        let digits =
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        match u32::from_str_radix(text, 8) {
            // One that its owner cannot read is of no use, and set-id bits are of none on a secret.
            Ok(mode) if digits && mode <= 0o777 && mode & 0o400 != 0 => Ok(FileMode(mode)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// The word of the key `as`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum As {
    Variable,
    File,
}

impl<'de> Deserialize<'de> for KvVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KvVisitor)
    }
}

struct KvVisitor;

impl Visitor<'_> for KvVisitor {
    type Value = KvVersion;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("1, 2 or \"raw\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<KvVersion, E> {
        match number {
            1 => Ok(KvVersion::V1),
            2 => Ok(KvVersion::V2),
            other => Err(E::invalid_value(Unexpected::Signed(other), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KvVersion, E> {
        match text {
            "raw" => Ok(KvVersion::Raw),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}
