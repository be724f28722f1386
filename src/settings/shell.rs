//! `shell`: what GitLab Runner writes the scripts of jobs for.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The shell that the runner is told by `config`. Source: GitLab Runner, "Types of shells supported".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shell {
    /// bash, or whatever `sh` an image has instead.
    #[default]
    Bash,
    /// The same with another first line.
    Sh,
    /// PowerShell, which both images must have then.
    Pwsh,
}

impl Shell {
    /// GitLab's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Sh => "sh",
            Self::Pwsh => "pwsh",
        }
    }
}

impl<'de> Deserialize<'de> for Shell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ShellVisitor)
    }
}

struct ShellVisitor;

impl Visitor<'_> for ShellVisitor {
    type Value = Shell;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"bash\", \"sh\" or \"pwsh\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Shell, E> {
        match text {
            "bash" => Ok(Shell::Bash),
            "sh" => Ok(Shell::Sh),
            "pwsh" => Ok(Shell::Pwsh),
            "powershell" | "cmd" => Err(E::custom(format!(
                "{text:?} is a shell of Windows, whose containers this runner does not run; write \"pwsh\" for \
                 PowerShell on Linux"
            ))),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}
