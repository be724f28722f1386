//! Archives: which files, into which form, and out of it again. It knows directories and streams, no network
//! and no cache.

mod blocks;
mod collect;
mod compress;
mod dos_time;
mod extract;
mod glob;
mod inspect;
mod pack;
mod source;
mod tar_zstd;
mod target;
mod unzip;
mod zip_stream;

pub(crate) use collect::{Selection, collect};
pub(crate) use extract::unpack;
pub(crate) use pack::{Packing, pack};

/// How files are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One zip archive.
    Zip,
    /// One zip archive whose entries are packed by Zstandard.
    ZipZstd,
    /// A tar archive, packed as a whole by Zstandard.
    TarZstd,
    /// One gzip member for each file, one after another; reports travel so.
    Gzip,
    /// One file as it is.
    Raw,
}

impl Format {
    const NAMES: [(&'static str, Self); 5] = [
        ("zip", Self::Zip),
        ("zipzstd", Self::ZipZstd),
        ("tarzstd", Self::TarZstd),
        ("gzip", Self::Gzip),
        ("raw", Self::Raw),
    ];

    /// The format that GitLab calls so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// What GitLab calls it.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// How much time to spend on tight packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// As fast as can be.
    Fastest,
    /// Rather fast.
    Fast,
    /// What most people want.
    Default,
    /// Rather tight.
    Slow,
    /// As tight as can be.
    Slowest,
}

impl Level {
    /// The level of this name; what is unknown or absent is the default.
    pub(crate) fn named(name: Option<&str>) -> Self {
        match name {
            Some("fastest") => Self::Fastest,
            Some("fast") => Self::Fast,
            Some("slow") => Self::Slow,
            Some("slowest") => Self::Slowest,
            _ => Self::Default,
        }
    }

    /// Deflate's number for it.
    pub(crate) fn deflate(self) -> u32 {
        match self {
            Self::Fastest => 1,
            Self::Fast => 3,
            Self::Default => 6,
            Self::Slow => 8,
            Self::Slowest => 9,
        }
    }

    /// Zstandard's number for it.
    pub(crate) fn zstd(self) -> i32 {
        match self {
            Self::Fastest | Self::Fast => 1,
            Self::Default => 3,
            Self::Slow => 7,
            Self::Slowest => 12,
        }
    }
}
