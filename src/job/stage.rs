//! GitLab's names of the stages that `run` is called for.

use std::fmt;

/// One stage of a job, by GitLab's name.
///
/// Source: GitLab's custom executor, "Run"; the runner sends names its documentation does not list
/// (`clear_worktree`) and may send new ones, so any name is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage(String);

impl Stage {
    /// Takes the name as the runner sent it.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Whether the user's own script runs in it: it belongs into the job's image. Everything else, known
    /// or not, is the runner's own work and goes to the helper.
    pub fn is_user(&self) -> bool {
        matches!(self.0.as_str(), "build_script" | "after_script") || self.0.starts_with("step_")
    }

    /// The first of a job in which the user's own script runs; older runners call it `step_script`.
    pub fn is_first_of_user(&self) -> bool {
        matches!(self.0.as_str(), "build_script" | "step_script")
    }

    /// The last one of a job that was not cut short.
    pub fn is_last(&self) -> bool {
        self.0 == "cleanup_file_variables"
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn only_user_scripts_go_to_the_job_image() {
        for user in ["build_script", "after_script", "step_script", "step_release", "step_new"] {
            assert!(Stage::new(user).is_user(), "{user}");
        }
        for ours in
            ["prepare_script", "get_sources", "clear_worktree", "archive_cache", "brand_new"]
        {
            assert!(!Stage::new(ours).is_user(), "{ours}");
        }
    }
}
