//! The one place that knows exit numbers: an [`Outcome`] becomes the number that GitLab Runner reads,
//! and the content of `BUILD_EXIT_CODE_FILE`. It must not know why an outcome came about.

/// How one of the four calls ended, in the runner's terms.
///
/// Source: GitLab's custom executor contract. `BUILD_FAILURE_EXIT_CODE` blames the job and is never
/// retried; `SYSTEM_FAILURE_EXIT_CODE` blames the host and lets the runner try `prepare` again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The call did what it was asked.
    Success,
    /// The job's own script ended with this code (1..=255, or a shell's 128 + signal).
    Script(i32),
    /// The job asked for something that cannot be (image not allowed, unknown secret): its own fault.
    JobFault,
    /// The daemon, Vault, the host or we ourselves failed.
    SystemFault,
}

impl Outcome {
    /// The number this process ends with.
    pub fn number(self, numbers: ExitNumbers) -> u8 {
        match self {
            Self::Success | Self::Script(0) => 0,
            Self::Script(_) | Self::JobFault => numbers.build_failure,
            Self::SystemFault => numbers.system_failure,
        }
    }

    /// What `BUILD_EXIT_CODE_FILE` is to hold: the integer alone, or the runner calls it an unknown
    /// failure.
    pub fn exit_code_file(self) -> Option<String> {
        match self {
            Self::Success | Self::Script(0) | Self::JobFault | Self::SystemFault => None,
            Self::Script(code) => Some(code.to_string()),
        }
    }
}

/// The two numbers that the runner hands down in the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitNumbers {
    /// `BUILD_FAILURE_EXIT_CODE`, 1 unless the runner says otherwise.
    pub build_failure: u8,
    /// `SYSTEM_FAILURE_EXIT_CODE`, 2 unless the runner says otherwise.
    pub system_failure: u8,
}

impl ExitNumbers {
    /// Reads the two as the runner wrote them; what is no number above 0 counts as not written.
    pub fn read(build_failure: Option<&str>, system_failure: Option<&str>) -> Self {
        let number = |text: Option<&str>, default| {
            text.and_then(|text| text.parse().ok()).filter(|number| *number > 0).unwrap_or(default)
        };
        Self { build_failure: number(build_failure, 1), system_failure: number(system_failure, 2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let numbers = ExitNumbers::read(Some("11"), Some("22"));
        for (outcome, number, file) in [
            (Outcome::Success, 0, None),
            (Outcome::Script(0), 0, None),
            (Outcome::Script(37), 11, Some("37")),
            (Outcome::Script(137), 11, Some("137")),
            (Outcome::JobFault, 11, None),
            (Outcome::SystemFault, 22, None),
        ] {
            assert_eq!(outcome.number(numbers), number, "{outcome:?}");
            assert_eq!(outcome.exit_code_file().as_deref(), file, "{outcome:?}");
        }
    }

    #[test]
    fn numbers_that_are_none_fall_back() {
        let expected = ExitNumbers { build_failure: 1, system_failure: 2 };
        assert_eq!(ExitNumbers::read(None, None), expected);
        assert_eq!(ExitNumbers::read(Some("x"), Some("0")), expected);
    }
}
