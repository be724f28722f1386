//! What `vault enroll` and `vault rotate` tell in the end. Names the secret id by its accessor.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::Answer;
use super::findings::rounded;
use crate::outcome::Outcome;
use crate::secrets::vault::NewSecretId;

/// A secret id that is in its place.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    /// Where it is.
    pub(super) file: PathBuf,
    /// Whose it is.
    pub(super) role: String,
    /// Names it without being it.
    pub(super) accessor: String,
    #[serde(flatten)]
    pub(super) life: Life,
    /// What is to be mended.
    pub(super) warnings: Vec<String>,
}

/// How long it serves.
#[derive(Debug, Serialize)]
pub(super) struct Life {
    /// For ever where `None`.
    lives_seconds: Option<u64>,
    /// Logins that are left after ours; any number where `None`.
    uses_left: Option<u64>,
}

/// After the one login that proved it.
pub(super) fn life(new: &NewSecretId) -> Life {
    let uses_left = new.uses.map(|uses| if uses > 1 { uses - 1 } else { uses });
    Life { lives_seconds: new.lives_seconds, uses_left }
}

impl Answer for Stored {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let lives = self.life.lives_seconds.map(|seconds| rounded(Duration::from_secs(seconds)));
        let lives =
            lives.map_or_else(|| "never expires".to_owned(), |left| format!("expires in {left}"));
        let uses = self.life.uses_left.map(|uses| format!(", {uses} logins left"));
        writeln!(
            out,
            "{} holds a new secret_id of the role {}: accessor {}, {lives}{}",
            self.file.display(),
            self.role,
            self.accessor,
            uses.unwrap_or_default()
        )?;
        self.warnings.iter().try_for_each(|warning| writeln!(out, "WARNING:   {warning}"))
    }

    fn outcome(&self) -> Outcome {
        if self.warnings.is_empty() { Outcome::Success } else { Outcome::JobFault }
    }
}
