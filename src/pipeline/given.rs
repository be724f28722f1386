//! Variables that the caller gives, on the command line or in a file, as in GitLab's project settings.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::stage::error::CallError;

use super::args::{LocalArgs, pair};
use super::spec::JobVariable;

/// GitLab masks no value that is shorter.
const MASKABLE: usize = 8;

/// All of them; the command line wins.
///
/// # Errors
/// When the file cannot be read, is open to others, or has a line that is none.
pub fn variables(args: &LocalArgs, directory: &Path) -> Result<Vec<JobVariable>, CallError> {
    let mut all = match &args.variables_file {
        Some(file) => of_file(&directory.join(file))?,
        None => Vec::new(),
    };
    let plain = [("CI_REGISTRY", &args.registry), ("CI_REGISTRY_USER", &args.registry_user)];
    for (name, value) in plain {
        all.extend(value.iter().map(|value| JobVariable::raw(name, value.clone())));
    }
    if let Some(file) = &args.registry_password_file {
        let password = private(&directory.join(file), "registry's password file")?;
        let password = JobVariable::raw("CI_REGISTRY_PASSWORD", password.trim_end());
        all.push(JobVariable { masked: true, ..password });
    }
    all.extend(args.variables.iter().map(|(name, value)| JobVariable::expanding(name, value)));
    Ok(all)
}

/// The text of a file that only its owner may read.
fn private(path: &Path, what: &str) -> Result<String, CallError> {
    let shown = path.display();
    let fail = |error| CallError::system(format!("failed to read the {what} {shown}: {error}"));
    let mode = std::fs::metadata(path).map_err(fail)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(CallError::system(format!(
            "the {what} {shown} is open to others (mode {:o})\n  chmod 600 it",
            mode & 0o777
        )));
    }
    std::fs::read_to_string(path).map_err(fail)
}

fn of_file(path: &Path) -> Result<Vec<JobVariable>, CallError> {
    let shown = path.display();
    let text = private(path, "variables file")?;
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself may hold a password and is not told.
        let (name, value) = pair(line).map_err(|_| {
            CallError::system(format!("line {} of {shown} is not NAME=VALUE", index + 1))
        })?;
        let masked = value.len() >= MASKABLE;
        all.push(JobVariable { masked, ..JobVariable::raw(&name, value) });
    }
    Ok(all)
}
