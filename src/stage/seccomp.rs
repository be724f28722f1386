//! Puts the text of a seccomp profile where its path stands, as Docker's command line does: the daemon may
//! be on another host and reads no file of ours.

use std::fs;

use super::error::CallError;
use crate::plan::container::ContainerPlan;

const OPTION: &str = "seccomp=";

/// Reads the profiles that a container's security options name.
///
/// # Errors
/// When one cannot be read or is no JSON; the operator named it.
pub fn inline(container: &mut ContainerPlan) -> Result<(), CallError> {
    for line in &mut container.security {
        let Some(path) = line.strip_prefix(OPTION) else { continue };
        if matches!(path, "unconfined" | "builtin") {
            continue;
        }
        let fail = |cause: String| {
            CallError::system(format!(
                "failed to read the seccomp profile {path}: {cause}\n  settings: [isolation] security_opt"
            ))
        };
        let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let profile: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        *line = format!("{OPTION}{profile}");
    }
    Ok(())
}
