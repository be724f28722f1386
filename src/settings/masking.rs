//! `[masking]`

use serde::Deserialize;

/// `[masking]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskingSettings {
    /// Whether a secret that is too short to be masked is refused; else it is given and warned of.
    pub strict: bool,
    /// Whether secrets written backwards are masked too.
    pub reversed: bool,
    /// Whether secrets with colours between their characters are masked too.
    pub coloured: bool,
}

impl Default for MaskingSettings {
    fn default() -> Self {
        Self { strict: true, reversed: false, coloured: false }
    }
}
