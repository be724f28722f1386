//! Whether the images have the shell that the runner writes scripts for, told before the first script fails
//! by it.

use crate::agent::protocol::{InitReport, ScriptShell};
use crate::plan::JobPlan;
use crate::settings::Shell;

use super::error::CallError;

/// What the agent looks for.
pub fn wire(shell: Shell) -> ScriptShell {
    match shell {
        Shell::Bash | Shell::Sh => ScriptShell::Posix,
        Shell::Pwsh => ScriptShell::Pwsh,
    }
}

/// Refuses images that cannot run a script at all.
///
/// # Errors
/// The job's own fault where its image has no shell, the operator's where the helper's has none.
pub fn check(
    plan: &JobPlan,
    job: Option<&str>,
    helper: Option<&InitReport>,
) -> Result<(), CallError> {
    let (lacks, wanted) = match plan.shell {
        Shell::Bash | Shell::Sh => ("shell", "bash or sh"),
        Shell::Pwsh => ("pwsh", "PowerShell, which this runner is set to"),
    };
    if job.is_none() {
        return Err(CallError::job(format!(
            "the image {} has no {lacks}, so no script can run in it\n  use an image with {wanted}",
            plan.image.reference
        )));
    }
    let helper = helper.filter(|report| report.shell.is_none());
    let Some(image) = helper.and(plan.helper_image.as_ref()) else { return Ok(()) };
    Err(CallError::system(format!(
        "the helper image {} has no {lacks}, so no sources can be fetched in it\n  settings: [docker] \
         helper_image names an image with git and {wanted}",
        image.reference
    )))
}

/// A line where scripts will fail by the quoting that the runner writes them with.
///
/// dash reads `$'...'` as a variable and a word. GitLab's own executor fails there too.
pub fn warning(shell: &str, posix_escapes: bool) -> Option<&'static str> {
    let dash = shell.rsplit('/').next() == Some("dash");
    (dash && !posix_escapes).then_some(
        "the only shell of the job's image is dash, which cannot read scripts as GitLab Runner quotes them: set \
         FF_POSIXLY_CORRECT_ESCAPES to \"true\" in the job's variables, or use an image with bash",
    )
}

#[cfg(test)]
mod tests {
    use super::warning;

    #[test]
    fn only_dash_without_the_flag_is_warned_of() {
        assert!(warning("/usr/bin/dash", false).is_some());
        for (shell, flag) in
            [("/usr/bin/dash", true), ("/usr/bin/bash", false), ("/bin/busybox", false)]
        {
            assert_eq!(warning(shell, flag), None, "{shell}");
        }
    }
}
