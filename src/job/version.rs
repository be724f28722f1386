//! The runner's version, as far as the driver has to know it.

use std::fmt;

/// A version of GitLab Runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerVersion {
    major: u32,
    minor: u32,
    patch: u32,
    /// A released version, not a build of the main branch.
    pub released: bool,
}

impl RunnerVersion {
    /// The oldest runner that reads `BUILD_EXIT_CODE_FILE`.
    pub const MINIMUM: Self = Self { major: 17, minor: 9, patch: 0, released: true };

    /// Parses `CI_RUNNER_VERSION`, e.g. `17.9.1`, `v19.3.0`, `19.4.0~pre.12.g0123abc`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map(|part| part.parse::<u32>().ok());
        let (major, minor) = (numbers.next()??, numbers.next()??);
        let patch = numbers.next().map_or(Some(0), |patch| patch)?;
        let released = end == text.len() && numbers.next().is_none();
        Some(Self { major, minor, patch, released })
    }

    /// Whether exit codes of scripts reach GitLab with this runner.
    pub fn is_supported(self) -> bool {
        (self.major, self.minor) >= (Self::MINIMUM.major, Self::MINIMUM.minor)
    }
}

impl fmt::Display for RunnerVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_releases_and_builds() {
        let shown = |text| {
            RunnerVersion::parse(text).map(|v| (v.to_string(), v.released, v.is_supported()))
        };
        assert_eq!(shown("17.9.0"), Some(("17.9.0".into(), true, true)));
        assert_eq!(shown("v17.8.3"), Some(("17.8.3".into(), true, false)));
        assert_eq!(shown("18.0"), Some(("18.0.0".into(), true, true)));
        assert_eq!(shown("9.99.0"), Some(("9.99.0".into(), true, false)));
        assert_eq!(shown("19.4.0~pre.12.g0123abc"), Some(("19.4.0".into(), false, true)));
        for wrong in ["", "development version", "17", "17.", "17.x", "17.9.", "-1.2.3"] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
    }
}
