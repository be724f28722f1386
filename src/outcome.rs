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
    /// The job's own script ended with this code (1..=255, or a shell's 128+signal).
    Script(i32),
    /// The job asked for something that cannot be (image not allowed, unknown secret): its own fault.
    JobFault,
    /// The daemon, Vault, the host or we ourselves failed.
    SystemFault,
}

/// The two numbers that the runner hands down in the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitNumbers {
    /// `BUILD_FAILURE_EXIT_CODE`, 1 unless the runner says otherwise.
    pub build_failure: u8,
    /// `SYSTEM_FAILURE_EXIT_CODE`, 2 unless the runner says otherwise.
    pub system_failure: u8,
}
